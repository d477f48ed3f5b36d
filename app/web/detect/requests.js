/** The request of the page as text for a shell or for Python. */

import { MAX_DETECTIONS } from "../api.js";

/** @typedef {{origin: string, file: string, model: string, score: number, overlap: number}} Request */

/** @param {Request} request */
function address({ origin, model, score, overlap }) {
  const query = new URLSearchParams({
    model,
    score_threshold: String(score),
    iou_threshold: String(overlap),
    max_detections: String(MAX_DETECTIONS),
  });
  return `${origin}v1/detect?${query}`;
}

/** @param {string} text quoted for a POSIX shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {Request} request */
export function asCurl(request) {
  const name = request.file.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  return `curl -F ${quoted(`image=@"${name}"`)} ${quoted(address(request))}`;
}

/** @param {Request} request */
export function asPython(request) {
  return [
    "import httpx",
    "",
    `with open(${JSON.stringify(request.file)}, "rb") as image:`,
    `    answer = httpx.post(${JSON.stringify(address(request))}, files={"image": image}, timeout=60)`,
    "print(answer.raise_for_status().json())",
    "",
  ].join("\n");
}
