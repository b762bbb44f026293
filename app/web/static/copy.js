// Beside what people copy (`data-copy` says what it is) stands a button that does it. Without this file,
// one click selects the whole of it.
"use strict";

const SHOWN_MS = 2000;
const said = document.createElement("p");
said.className = "hidden";
said.setAttribute("role", "status");

async function copyWords(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {  // no permission, or a page without https: the person presses the keys
    getSelection().selectAllChildren(element);
    return "Selected";
  }
  return "Copied";
}

for (const element of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copier";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${element.dataset.copy}`);
  button.addEventListener("click", async () => {
    document.querySelector("main").append(said);
    button.textContent = said.textContent = await copyWords(element);
    setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, SHOWN_MS);
  });
  element.after(button);
}
