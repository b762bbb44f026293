// Makes parts of the page equal to fresh ones from the server.
"use strict";

const LIVE_SELECTORS = ["main.thread > header", ".texts", "#held", ".state", "#asks", "#offer", "aside.contact"];
const getKey = (node) => node.id || node.dataset?.key || "";

// Makes `here` equal to `there`. Nodes that did not change stay the same nodes, which keeps the focus,
// unfinished input and the position of a screen reader.
function merge(here, there) {
  if (here.isEqualNode(there) || here.dataset?.hold) return;
  if (here.nodeType !== Node.ELEMENT_NODE) { here.nodeValue = there.nodeValue; return; }
  for (const { name } of [...here.attributes]) {
    if (!there.hasAttribute(name) && name !== "open") here.removeAttribute(name);
  }
  for (const { name, value } of there.attributes) {
    if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  }
  const wanted = new Set([...there.children].map(getKey));
  for (const child of [...here.children]) if (getKey(child) && !wanted.has(getKey(child))) child.remove();
  const known = new Map([...here.children].map((child) => [getKey(child), child]));
  let at = here.firstChild;
  for (const child of [...there.childNodes]) {
    const alike = at && !getKey(at) && at.nodeName === child.nodeName ? at : undefined;
    const same = getKey(child) ? known.get(getKey(child)) : alike;
    if (!same || same.nodeName !== child.nodeName) {
      here.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else here.insertBefore(same, at);
    merge(same, child);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

// Merges each part that the fresh page has.
function mergeParts(page) {
  for (const selector of LIVE_SELECTORS) {
    const here = document.querySelector(selector), there = page.querySelector(selector);
    if (!here || !there) continue;
    if (selector === ".texts") keepEarlier(here, there);
    merge(here, there);
  }
  // A menu that a person has used does not follow its attributes any more.
  if (!page.querySelector("main.thread > header")) return;
  const menus = document.querySelectorAll(":is(main.thread > header form, .work form.menu):not([data-hold])");
  for (const menu of menus) menu.reset();
}
