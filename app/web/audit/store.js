/** What this browser knows of audits: their ids, and the zips that they were made of. */

const JOBS = "yoloscope-audits";
const ZIPS = "zips";

/** @typedef {{id: string, name: string}} Known */
/** Zips of this visit, where the browser keeps none. @type {Map<string, Blob>} */
const held = new Map();

/** @returns {Known[]} the newest first */
export function knownJobs() {
  try {
    /** @type {unknown} */
    const jobs = JSON.parse(localStorage.getItem(JOBS) ?? "[]");
    return Array.isArray(jobs) ? jobs.filter((job) => typeof job?.id === "string" && typeof job?.name === "string") : [];
  } catch {
    return [];
  }
}

/** @param {Known[]} jobs */
export function keepJobs(jobs) {
  try {
    localStorage.setItem(JOBS, JSON.stringify(jobs.map(({ id, name }) => ({ id, name }))));
  } catch {
    // a browser without storage knows them for this visit
  }
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(JOBS, 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore(ZIPS));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

/** @template T @param {IDBTransactionMode} mode @param {(zips: IDBObjectStore) => IDBRequest<T>} act @returns {Promise<T>} */
async function transact(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(ZIPS, mode);
      const request = act(transaction.objectStore(ZIPS));
      transaction.addEventListener("complete", () => resolve(request.result));
      for (const end of ["abort", "error"]) transaction.addEventListener(end, () => reject(transaction.error));
    });
  } finally {
    database.close();
  }
}

/** @param {string} id @param {Blob} zip @returns {Promise<boolean>} whether the browser has it at the next visit, too */
export async function keepZip(id, zip) {
  held.set(id, zip);
  try {
    await transact("readwrite", (zips) => zips.put(zip, id));
    return true;
  } catch {
    return false;
  }
}

/** @param {string} id @returns {Promise<Blob | null>} */
export async function zipOf(id) {
  const known = held.get(id);
  if (known) return known;
  try {
    const found = await transact("readonly", (zips) => zips.get(id));
    return found instanceof Blob ? found : null;
  } catch {
    return null;
  }
}

/** Name under which verdicts on the findings of a job are kept. @param {string} id */
export const verdictsOf = (id) => `yoloscope-audit-${id}`;

/** Drops the zip and the verdicts. @param {string} id */
export async function dropJob(id) {
  held.delete(id);
  try {
    localStorage.removeItem(verdictsOf(id));
    await transact("readwrite", (zips) => zips.delete(id));
  } catch {
    // there is nothing to delete from
  }
}
