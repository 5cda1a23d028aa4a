// This device as a way to be reached: form[data-push] has the key of the installation, a button,
// the field method.to, and in data-denied what is said when the browser refuses. It stays hidden
// where the browser has no push messages.
(() => {
  "use strict";
  const form = document.querySelector("form[data-push]");
  if (!form || !self.isSecureContext || !navigator.serviceWorker || !self.PushManager || !self.Notification) return;
  const button = form.querySelector("button"), status = form.querySelector("[role=status]");
  const key = form.dataset.push, tell = (words) => { if (status) { status.textContent = words; status.hidden = !words; } };

  // A subscription is bound to the key it was made with: one of another key is of no use.
  async function subscribe(worker) {
    const old = await worker.pushManager.getSubscription();
    if (old && sameKey(old.options.applicationServerKey)) return old;
    if (old) await old.unsubscribe();
    return worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  }
  const sameKey = (bytes) => bytes && btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") === key;

  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    e.stopPropagation();
    tell("");
    button.disabled = true;
    try {
      if (await Notification.requestPermission() !== "granted") throw new Error("refused");
      await navigator.serviceWorker.register("/sw.js");
      const { endpoint, keys } = (await subscribe(await navigator.serviceWorker.ready)).toJSON();
      form.elements["method.to"].value = JSON.stringify({ endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } });
      form.submit();
    } catch (err) {
      tell(form.dataset.denied + (err && err.message !== "refused" ? " (" + err.message + ")" : ""));
      button.disabled = false;
    }
  });
  form.hidden = false;
})();
