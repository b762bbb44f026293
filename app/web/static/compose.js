// Writing: drafts, the segment counter, and texts that are sent while one reads on.
"use strict";

const RETRIES = [1000, 3000];  // ms before a text is sent again whose answer was lost

const getDraftKey = (form) => `draft ${form.dataset.draft ?? location.pathname}`;
const getKindKey = (form) => `kind of ${getDraftKey(form)}`;
const isNote = (form) => form.elements.kind?.value === "note";

function setUpCompose() {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const box = form.elements.message;
  box.autocomplete = "off";  // on a step back the browser would restore a text that was sent
  if (!box.value) {
    box.value = sessionStorage.getItem(getDraftKey(form)) ?? "";
    if (sessionStorage.getItem(getKindKey(form))) form.elements.kind.value = "note";  // a note never becomes a text
  }
  saveDraft(form);
  let hasText = box.value !== "";
  box.addEventListener("input", () => {
    if (!hasText && form.elements.seen) markSeen(form.elements.seen, form.elements.seen.dataset.shown);
    hasText = box.value !== "";
    saveDraft(form);
  });
  box.addEventListener("keydown", (event) => {
    // An input method is still composing: Safari says so by the key code alone.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (box.value.trim()) form.requestSubmit();
  });
  for (const text of unsent) if (text.path === location.pathname) showUnsent(text);
  // After a refusal, the person can go on writing.
  if (document.getElementById("refused")) box.focus({ preventScroll: true });
}

function saveDraft(form) {
  if (isNote(form)) sessionStorage.setItem(getKindKey(form), "note");
  else sessionStorage.removeItem(getKindKey(form));
  const box = form.elements.message, replacements = form.dataset.twins ? JSON.parse(form.dataset.twins) : null;
  form.querySelector(".counter").textContent = describeLength(box.value, replacements);
  if (box.value) sessionStorage.setItem(getDraftKey(form), box.value);
  else sessionStorage.removeItem(getDraftKey(form));
}

// --- Sending ---

const unsent = new Set();  // texts on their way, and those that failed
let sending = Promise.resolve();  // one after another: texts keep their order

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form.compose") || form.dataset.draft || event.defaultPrevented) return;
  event.preventDefault();
  if (!form.elements.message.value.trim() && !hasFiles(form)) return;
  const text = buildText(form, new FormData(form, event.submitter));
  unsent.add(text);
  clearForm(form);
  showUnsent(text);
  document.querySelector(".transcript").scrollTop = 0;
  form.elements.message.focus({ preventScroll: true });
  sendNext(text);
});

function buildText(form, fields) {
  // The same token with each try: the server sends it once.
  fields.set("once", [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16)).join("-"));
  return { path: location.pathname, action: withList(form.getAttribute("action")), fields, words: fields.get("message") };
}

const hasFiles = (form) => Boolean(form.elements.files?.files.length || form.elements.mediaUrls?.value.trim());

function sendNext(text) {
  text.state = "sending";
  showUnsent(text);
  sending = sending.then(() => send(text));
}

async function send(text, tries = 0) {
  try {
    const { answer, page, url } = await fetchFragment(text.action, "opened", { method: "POST", body: text.fields });
    if (!page.getElementById("opened")) throw new Error(`${answer.status}`);
    unsent.delete(text);
    text.article.remove();
    if (location.pathname !== text.path) {
      if (!answer.ok) keepAsDraft(text);
    } else if (!answer.ok) {
      takeBack(text);
      showChanged(page);
    } else if (url.pathname === text.path) {
      showChanged(page);
    } else {  // from another number: another thread
      history.pushState(null, "", url);
      shown = url;
      showOpened(page);
      document.querySelector("form.compose textarea").focus({ preventScroll: true });
    }
  } catch (error) {
    if (error instanceof OtherPage) {
      text.state = "failed";  // it becomes a draft
      location.assign(shown);
      return;
    }
    showConnectionLost(!navigator.onLine);
    if (tries < RETRIES.length && navigator.onLine) {
      await new Promise((resolve) => setTimeout(resolve, RETRIES[tries]));
      await send(text, tries + 1);
      return;
    }
    text.state = "failed";
    showUnsent(text);
  }
}

// Shows a text that the server has not taken yet, below the others.
function showUnsent(text) {
  const place = document.getElementById("unsent"), article = document.createElement("article");
  if (!place || location.pathname !== text.path) return;
  const words = addElement(article, "p", "words", text.words), facts = addElement(article, "p", "facts", "");
  const files = text.fields.getAll("files").filter((file) => file.size).length;
  words.dir = "auto";
  const kind = text.fields.get("kind") === "note" ? "note written" : "text agent manual";
  article.className = `${kind} ${text.state === "failed" ? "failed" : "pending"}`;
  if (files) addElement(article, "p", "quiet", files > 1 ? `With ${files} files` : "With a file");
  addElement(facts, "span", "", document.querySelector("form.compose").dataset.writer);
  addElement(facts, "span", "delivery", text.state === "failed" ? "Not sent" : "Sending…");
  if (text.state === "failed") {
    addElement(facts, "button", "link", "Try again").addEventListener("click", () => sendNext(text));
    addElement(facts, "button", "link", "Edit").addEventListener("click", () => edit(text));
  }
  if (text.article?.isConnected) text.article.replaceWith(article);
  else place.append(article);
  text.article = article;
}

function edit(text) {
  const form = document.querySelector("form.compose");
  if (!fitsBox(form, text.fields.get("kind"))) {
    showRefusal(null, `There is a ${isNote(form) ? "note" : "reply"} in the box. Send it or delete it first.`);
    return;
  }
  unsent.delete(text);
  text.article.remove();
  takeBack(text);
}

function addElement(parent, name, className, words) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = words;
  if (name === "button") element.type = "button";
  parent.append(element);
  return element;
}

function clearForm(form) {
  showRefusal(null);
  form.elements.message.value = "";
  showLater(form, "", "");
  if (form.elements.forAgent) form.elements.forAgent.checked = false;
  if (form.elements.take) form.elements.take.checked = false;
  if (form.elements.mediaUrls) form.elements.mediaUrls.value = "";
  setFiles(form, []);
  for (const details of form.querySelectorAll("details[open]")) details.open = false;
  saveDraft(form);
}

// Puts a text that was not taken back into the form. Words of the other kind stand in the box already: it stays where
// it is, because a note never goes to the lead.
function takeBack(text) {
  const form = document.querySelector("form.compose");
  if (!fitsBox(form, text.fields.get("kind"))) { keepUnsent(text); return; }
  form.elements.from.value = text.fields.get("from");
  if (form.elements.kind) form.elements.kind.value = text.fields.get("kind");
  if (form.elements.forAgent) form.elements.forAgent.checked = text.fields.has("forAgent");
  if (form.elements.clock) form.elements.clock.value = text.fields.get("clock") ?? "";
  showLater(form, text.fields.get("when"), text.fields.get("at"));
  if (form.elements.take) form.elements.take.checked = text.fields.has("take");
  if (form.elements.mediaUrls) form.elements.mediaUrls.value = text.fields.get("mediaUrls");
  setFiles(form, text.fields.getAll("files").filter((file) => file.size));
  restoreWords(form, text.words.replaceAll("\r\n", "\n"));
}

// Puts the words of a text that was undone into the form.
function takeBackWords(words) {
  const form = document.querySelector("form.compose");
  if (fitsBox(form, "text")) {
    if (form.elements.kind) form.elements.kind.value = "text";
    restoreWords(form, words);
    return;
  }
  const fields = new FormData();
  for (const name of ["csrf", "seen", "from"]) fields.set(name, form.elements[name].value);
  fields.set("kind", "text");
  fields.set("message", words);
  keepUnsent(buildText(form, fields));
}

const fitsBox = (form, kind) => !form.elements.message.value.trim() || (kind === "note") === isNote(form);

function keepUnsent(text) {
  text.state = "failed";
  unsent.add(text);
  showUnsent(text);
}

// Puts words into the box, before what may stand there already.
function restoreWords(form, words) {
  const box = form.elements.message;
  showBoxWords(form, box);
  box.value = [words, box.value].filter(Boolean).join("\n");
  saveDraft(form);
  box.focus({ preventScroll: true });
}

function setFiles(form, files) {
  const input = form.elements.files;
  if (!input || !files.length && !input.files.length) return;
  const kept = new DataTransfer();
  for (const file of files) kept.items.add(file);
  input.files = kept.files;
  input.closest("details").open = files.length > 0;
  input.dispatchEvent(new Event("change"));
}

// Shows why something was not done, as the fresh page says it or in `words`; without both, nothing.
function showRefusal(page, words = "") {
  const form = document.querySelector("form.compose");
  if (!form) return;
  document.getElementById("refused")?.remove();
  const fresh = page?.querySelector("form.compose"), alert = page?.getElementById("refused");
  const button = form.querySelector("button.primary"), freshButton = fresh?.querySelector("button.primary");
  const isSure = freshButton?.name === "anyway";
  [button.name, button.value, button.textContent] = isSure ? ["anyway", "1", "Send anyway"] : ["", "", nameSend(form)];
  if (isSure) form.elements.seen.value = fresh.elements.seen.value;
  if (alert) form.prepend(document.importNode(alert, true));
  if (!words) return;
  const own = document.createElement("p");
  [own.id, own.className, own.textContent] = ["refused", "alert", words];
  own.setAttribute("role", "alert");
  form.prepend(own);
}

// What stands in the draft already stays. A note among them makes it a note: it never goes to the lead.
function keepAsDraft(text) {
  const key = `draft ${text.path}`, former = sessionStorage.getItem(key);
  sessionStorage.setItem(key, [text.words, former].filter(Boolean).join("\n"));
  if (text.fields.get("kind") === "note") sessionStorage.setItem(`kind of ${key}`, "note");
}

// A page that goes keeps what was not sent as a draft.
addEventListener("pagehide", () => {
  for (const text of unsent) if (text.state === "failed") keepAsDraft(text);
});
