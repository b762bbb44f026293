// Tells who waits and who else is here: counts, title, the dot on the icon, notifications if they were asked for.
// The page works without this file.
"use strict";

// Faster while somebody else is in the same conversation.
const PULSE_MS = 10_000, COMPANY_PULSE_MS = 4_000, HIDDEN_PULSE_MS = 30_000, WRITING_MS = 6_000, AFTER_CHANGE_MS = 1_000;
const viewsBar = document.getElementById("views");
const icon = document.querySelector("link[rel=icon]");
const plainIcon = icon?.href, dotIcon = document.currentScript?.dataset.dot;
const MAX_COUNTED = 100;
let hasCompany = false, waiting = null, pulseTimer = null, isPulseDue = false, wroteAt = 0, sound = null;

const getThread = () => location.pathname.match(/^\/conversations\/(int_\w+)/)?.[1] ?? "";
const formatCount = (count) => (count < MAX_COUNTED ? `${count}` : `${MAX_COUNTED - 1}+`);

async function pulse() {
  clearTimeout(pulseTimer);
  isPulseDue = false;
  const isWriting = Date.now() - wroteAt < WRITING_MS;
  const thread = document.hidden ? "" : getThread();
  try {
    const answer = await fetch(`/conversations/pulse?${new URLSearchParams({ thread, writing: isWriting ? "1" : "" })}`);
    if (answer.redirected || answer.status === 404) return;  // signed out: live.js says so
    if (answer.ok) showPulse(await answer.json());
  } catch { /* the connection is lost: live.js says so */ }
  if (isPulseDue) return;
  pulseTimer = setTimeout(pulse, document.hidden ? HIDDEN_PULSE_MS : hasCompany ? COMPANY_PULSE_MS : PULSE_MS);
}

function pulseSoon() {
  if (isPulseDue) return;  // under many changes it comes all the same
  isPulseDue = true;
  clearTimeout(pulseTimer);
  pulseTimer = setTimeout(pulse, AFTER_CHANGE_MS);
}

function showPulse({ counts, here }) {
  for (const link of viewsBar.querySelectorAll("[data-view]")) {
    const amount = link.querySelector(".amount");
    if (!amount) continue;
    const text = formatCount(counts[link.dataset.view]);
    if (amount.textContent !== text) amount.textContent = text;
    amount.classList.toggle("none", text === "0");
  }
  hasCompany = here.length > 0;
  showHere(here);
  if (waiting !== null && counts.waiting > waiting) alertPerson(counts.waiting);
  waiting = counts.waiting;
  showWaiting();
}

// In the form, because on small screens the form alone is always in view.
function addHereLine() {
  const line = document.createElement("p");
  line.id = "here";
  line.setAttribute("role", "status");
  line.setAttribute("aria-label", "Who else is here");
  document.querySelector("form.compose")?.prepend(line);
  return line;
}

function showHere(here) {
  const line = document.getElementById("here") ?? addHereLine();
  line.hidden = here.length === 0;
  const parts = here.map(({ name, color, writing }) => {
    const part = document.createElement("span");
    part.className = `colleague hue-${color}`;
    part.textContent = `${name} ${writing ? "is writing…" : "reads this"}`;
    return part;
  });
  if (line.textContent !== parts.map((part) => part.textContent).join("")) line.replaceChildren(...parts);
}

// The title of the page may change with the open thread: the number is put before whatever stands there.
function showWaiting() {
  const title = document.title.replace(/^\(\d+\+?\) /, "");
  const wanted = waiting ? `(${formatCount(waiting)}) ${title}` : title;
  if (document.title !== wanted) document.title = wanted;
  if (icon && dotIcon) {
    const href = waiting ? dotIcon : plainIcon;
    if (icon.getAttribute("href") !== href) icon.href = href;
  }
}

// --- Notifications, off until asked ---

const alerts = document.getElementById("alerts");
const alertsButton = alerts?.querySelector("button"), soundBox = alerts?.querySelector("input");
const isAsked = (name) => localStorage.getItem(name) === "yes";
const hasNotifications = "Notification" in window;

function showChoices() {
  if (!alerts) return;
  alerts.hidden = !hasNotifications;
  alertsButton.setAttribute("aria-pressed", isAsked("alerts") && Notification.permission === "granted");
  soundBox.checked = isAsked("alert sound");
}

alertsButton?.addEventListener("click", async () => {
  const isOn = !isAsked("alerts");
  const isAllowed = isOn && (await Notification.requestPermission()) === "granted";
  localStorage.setItem("alerts", isAllowed ? "yes" : "no");
  showChoices();
});
soundBox?.addEventListener("change", () => {
  localStorage.setItem("alert sound", soundBox.checked ? "yes" : "no");
  if (soundBox.checked) playSound();
});

// Several tabs see the same lead wait: the first one tells.
function alertPerson(count) {
  if (!isAsked("alerts") || document.hasFocus()) return;
  const now = Date.now();
  if (now - Number(localStorage.getItem("alerted at") ?? 0) < AFTER_CHANGE_MS * 5) return;
  localStorage.setItem("alerted at", `${now}`);
  if (hasNotifications && Notification.permission === "granted") {
    const told = new Notification("LeadSail SMS", {
      body: count === 1 ? "A lead waits." : `${formatCount(count)} leads wait.`, icon: plainIcon, tag: "waiting",
    });
    told.onclick = () => { window.focus(); told.close(); };
  }
  if (isAsked("alert sound")) playSound();
}

function playSound() {
  sound ??= new AudioContext();
  const tone = sound.createOscillator(), volume = sound.createGain(), start = sound.currentTime;
  tone.frequency.value = 660;
  volume.gain.setValueAtTime(0.05, start);
  volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.35);
  tone.connect(volume).connect(sound.destination);
  tone.start(start);
  tone.stop(start + 0.35);
}

// --- Ticking many rows ---

document.addEventListener("change", (event) => {
  if (!event.target.matches(".pick-all")) return;
  for (const box of document.querySelectorAll(".pick")) box.checked = event.target.checked;
});

if (viewsBar) {
  document.addEventListener("input", (event) => {
    if (!event.target.matches("#message")) return;
    const isNew = Date.now() - wroteAt > WRITING_MS;
    wroteAt = Date.now();
    if (isNew) pulse();
  });
  document.addEventListener("visibilitychange", pulse);
  addEventListener("focus", pulseSoon);
  // The list follows the live events: when it changes, so may the counts. What is opened has been read.
  document.addEventListener("listed", pulseSoon);
  document.addEventListener("opened", pulseSoon);
  const title = document.querySelector("title");
  if (title) new MutationObserver(showWaiting).observe(title, { childList: true });
  showChoices();
  pulse();
}
