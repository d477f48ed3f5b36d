/** The camera of the device as a source: one frame after the other. */

import { html } from "../dom.js";
import { TEXT } from "../strings.js";

const QUALITY = 0.9;

/** Why there is no picture, in words. @param {unknown} error */
function reason(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return TEXT.cameraRefused;
  if (name === "NotFoundError" || name === "OverconstrainedError") return TEXT.cameraMissing;
  if (name === "NotReadableError") return TEXT.cameraBusy;
  return error instanceof Error ? error.message : String(error);
}

/** Takes frames until it is stopped; the next one is taken when the last one has been dealt with. */
export class Camera {
  /** @param {HTMLSelectElement} choice of a camera, filled once one is open @param {(frame: File) => Promise<void>} take */
  constructor(choice, take) {
    this.choice = choice;
    this.take = take;
    this.video = html("video", { muted: true, playsinline: true });
    /** @type {MediaStream | null} */
    this.stream = null;
  }

  get isOpen() {
    return this.stream !== null;
  }

  /** Opens the chosen camera, or any; raises an Error in words. */
  async open() {
    this.close();
    if (!navigator.mediaDevices) throw new Error(TEXT.cameraInsecure);
    const { value } = this.choice;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: value ? { deviceId: { exact: value } } : { facingMode: "environment" } });
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
      const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
      const used = stream.getVideoTracks()[0].getSettings().deviceId;
      this.choice.replaceChildren(...cameras.map(({ deviceId, label }, i) => new Option(label || `${TEXT.camera} ${i + 1}`, deviceId, false, deviceId === used)));
    } catch (error) {
      this.close();
      throw new Error(reason(error));
    }
  }

  /** Takes frame after frame until the camera is closed. */
  async run() {
    const { stream } = this;
    const canvas = html("canvas");
    while (stream && this.stream === stream) {
      Object.assign(canvas, { width: this.video.videoWidth, height: this.video.videoHeight });
      canvas.getContext("2d")?.drawImage(this.video, 0, 0);
      /** @type {Blob | null} */
      const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
      if (blob && this.stream === stream) await this.take(new File([blob], "camera.jpg", { type: "image/jpeg" }));
      await new Promise(requestAnimationFrame);
    }
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }
}
