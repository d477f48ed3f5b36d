/** Pictures out of the zip of an audit, the last few held. */

import { AUDIT } from "../strings.js";
import { readEntry, readZip } from "./zip.js";

const HELD = 6;

/** Opens a zip; raises TypeError or RangeError where it is none. @param {Blob} zip */
export async function openPictures(zip) {
  const entries = await readZip(zip);
  /** @type {Map<string, Promise<ImageBitmap>>} */
  const held = new Map();

  /** @param {string} name */
  async function load(name) {
    const entry = entries.get(name);
    if (!entry) throw new Error(AUDIT.notInZip(name));
    try {
      return await createImageBitmap(await readEntry(zip, entry), { imageOrientation: "from-image" });
    } catch (error) {
      throw new Error(AUDIT.unreadable(name, error instanceof Error ? error.message : String(error)));
    }
  }
  return {
    /** @param {string} name */
    has: (name) => entries.has(name),
    /** @param {string} name @returns {Promise<ImageBitmap>} */
    get(name) {
      const known = held.get(name) ?? load(name);
      held.delete(name);
      held.set(name, known);
      for (const oldest of [...held.keys()].slice(0, -HELD)) {
        held.get(oldest)?.then((bitmap) => bitmap.close(), () => {});
        held.delete(oldest);
      }
      return known;
    },
  };
}
