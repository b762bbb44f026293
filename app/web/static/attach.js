// Who sends a text, and the pictures and files that go with it: checked and shown before they are sent.
// The server checks everything again.
"use strict";

function describeSize(size) {
  return size < 1_000_000 ? `${Math.max(1, Math.round(size / 1000))} KB` : `${+(size / 1_000_000).toFixed(2)} MB`;
}

function setUpAttachments() {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const sender = form.elements.from, input = form.elements.files, addresses = form.elements.mediaUrls;
  const resolution = document.getElementById("resolution"), carries = document.getElementById("carries");
  const previews = form.querySelector(".previews");

  const getLimit = () => Number(sender.selectedOptions[0]?.dataset.bytes ?? 0);
  const countAddresses = () => addresses.value.split("\n").filter((line) => line.trim()).length;

  // What is wrong with the chosen files; "" if nothing is.
  function findFault() {
    const files = [...input.files], count = files.length + countAddresses(), most = Number(input.dataset.most);
    if (!count || isNote(form)) return "";
    if (!getLimit()) return "This number cannot send pictures. Choose another number.";
    if (count > most) return `A text takes up to ${most} files.`;
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > getLimit()) return `The files have ${describeSize(size)}. This number carries up to ${describeSize(getLimit())}.`;
    return "";
  }

  function check() {
    const why = sender.selectedOptions[0]?.dataset.why;
    if (resolution && why) resolution.textContent = why;
    if (!input) return;
    const limit = getLimit(), fault = findFault();
    input.setCustomValidity(fault);
    const words = fault || (limit
      ? `Up to ${input.dataset.most} files, together ${describeSize(limit)}: ${input.dataset.types}.`
      : "This number cannot send pictures. Choose another number.");
    if (carries.textContent !== words) carries.textContent = words;
    carries.classList.toggle("fault", fault !== "");
  }

  // A canvas and no <img>: the page's policy allows images of this site only.
  async function showFile(file) {
    const item = document.createElement("li"), name = document.createElement("span"), remove = document.createElement("button");
    name.textContent = `${file.name} · ${describeSize(file.size)}`;
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      const kept = new DataTransfer();
      for (const other of input.files) if (other !== file) kept.items.add(other);
      input.files = kept.files;
      showFiles();
      input.focus();
    });
    item.append(name, remove);
    previews.append(item);
    try {
      const picture = await createImageBitmap(file);
      const canvas = document.createElement("canvas"), scale = Math.min(1, 192 / Math.max(picture.width, picture.height));
      [canvas.width, canvas.height] = [Math.max(1, picture.width * scale), Math.max(1, picture.height * scale)];
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      canvas.setAttribute("aria-hidden", "true");
      item.prepend(canvas);
    } catch {  // no picture: its name is enough
    }
  }

  function showFiles() {
    previews.replaceChildren();
    previews.hidden = input.files.length === 0;
    for (const file of input.files) showFile(file);
    check();
  }

  sender.addEventListener("change", check);
  form.addEventListener("change", (event) => { if (event.target.name === "kind") check(); });
  if (input) {
    input.addEventListener("change", showFiles);
    addresses.addEventListener("input", check);
    // A picture can be pasted into the text box, or dropped onto the form.
    const add = (files) => {
      if (!files?.length || isNote(form)) return false;
      const all = new DataTransfer();
      for (const file of [...input.files, ...files]) all.items.add(file);
      input.files = all.files;
      input.closest("details").open = true;
      showFiles();
      return true;
    };
    form.elements.message.addEventListener("paste", (event) => {
      if (add(event.clipboardData?.files)) event.preventDefault();
    });
    form.addEventListener("dragover", (event) => {
      if (event.dataTransfer.types.includes("Files")) event.preventDefault();
    });
    form.addEventListener("drop", (event) => {
      if (add(event.dataTransfer?.files) || event.dataTransfer?.files.length) event.preventDefault();
    });
    if (input.files.length) showFiles();
  }
  check();
}


