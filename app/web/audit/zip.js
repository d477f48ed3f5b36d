/** Files of a zip that stays with the reader: the list is read first, then each file as it is wanted. */

/** @typedef {{start: number, bytes: number, size: number, method: number}} Entry a local header's place, and the file's sizes */

const [END, END64, LOCATOR64, ENTRY] = [0x06054b50, 0x06064b50, 0x07064b50, 0x02014b50];
const [LONGEST_END, LOCATOR_BYTES, ENTRY_BYTES, HEADER_BYTES] = [65_557, 20, 46, 30];
const [STORED, DEFLATED] = [0, 8];

/** @param {Blob} file @param {number} start @param {number} end */
const view = async (file, start, end) => new DataView(await file.slice(start, end).arrayBuffer());

/** Where the list of files stands. @param {Blob} file */
async function directory(file) {
  const from = Math.max(0, file.size - LONGEST_END);
  const tail = await view(file, from, file.size);
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END || at + 22 + tail.getUint16(at + 20, true) !== tail.byteLength) continue;
    const locator = at - LOCATOR_BYTES;
    if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR64) {
      const place = Number(tail.getBigUint64(locator + 8, true));
      const end = await view(file, place, place + 56);
      if (end.getUint32(0, true) !== END64) break;
      return { bytes: Number(end.getBigUint64(40, true)), start: Number(end.getBigUint64(48, true)) };
    }
    return { bytes: tail.getUint32(at + 12, true), start: tail.getUint32(at + 16, true) };
  }
  throw new TypeError("no end of a zip");
}

/**
 * The files of a zip by their paths, as the service names them. Raises TypeError or RangeError for what is no zip.
 * @param {Blob} file @returns {Promise<Map<string, Entry>>}
 */
export async function readZip(file) {
  const { start, bytes } = await directory(file);
  const list = await view(file, start, start + bytes);
  const utf8 = new TextDecoder();
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  for (let at = 0; at + ENTRY_BYTES <= list.byteLength; ) {
    if (list.getUint32(at, true) !== ENTRY) throw new TypeError("no list of files");
    const [name, extra, comment] = [28, 30, 32].map((place) => list.getUint16(at + place, true));
    const path = utf8.decode(new Uint8Array(list.buffer, at + ENTRY_BYTES, name)).replaceAll("\\", "/");
    const parts = path.split("/").filter((part) => part && part !== ".");
    entries.set(parts.join("/"), {
      start: list.getUint32(at + 42, true), bytes: list.getUint32(at + 20, true), size: list.getUint32(at + 24, true), method: list.getUint16(at + 10, true),
    });
    at += ENTRY_BYTES + name + extra + comment;
  }
  return entries;
}

/** The content of a file. @param {Blob} file @param {Entry} entry @returns {Promise<Blob>} */
export async function readEntry(file, { start, bytes, method }) {
  const header = await view(file, start, start + HEADER_BYTES);
  const from = start + HEADER_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  const content = file.slice(from, from + bytes);
  if (method === STORED) return content;
  if (method !== DEFLATED) throw new TypeError(`compressed by method ${method}`);
  return new Response(content.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}
