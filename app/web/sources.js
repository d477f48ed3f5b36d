/** Pictures that are chosen, dropped or pasted. */

/**
 * Takes files from an input, and what is dropped or pasted while its view is shown.
 * @param {HTMLInputElement} input @param {HTMLElement} section @param {(files: File[]) => void} add
 */
export function listen(input, section, add) {
  const take = (/** @type {FileList | undefined | null} */ list) => {
    const files = [...(list ?? [])];
    if (files.length) add(files);
    return files.length > 0;
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (!section.hidden) document.body.classList.add("over");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    if (!section.hidden) take(event.dataTransfer?.files);
  });
  document.addEventListener("paste", (event) => {
    if (!section.hidden && take(event.clipboardData?.files)) event.preventDefault();
  });
}

/** @returns {Promise<File>} */
export async function sample() {
  const response = await fetch("page/blood.jpg");
  return new File([await response.blob()], "blood.jpg", { type: "image/jpeg" });
}
