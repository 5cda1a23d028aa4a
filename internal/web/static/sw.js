// Push messages: shows a page as a notification, and answers it from there or opens it.
(() => {
  "use strict";
  const origin = self.location.origin;
  // Whatever host a link names, this origin alone is asked.
  const here = (link) => { try { const u = new URL(link, origin); return origin + u.pathname + u.search; } catch { return origin + "/"; } };

  const options = (m) => ({
    body: m.body || "", lang: m.lang || "", tag: m.tag || "", renotify: !!m.tag, requireInteraction: true, data: m,
    actions: m.ack ? [{ action: "accept", title: m.ack.accept }, { action: "refuse", title: m.ack.refuse }].filter((a) => a.title) : [],
  });

  self.addEventListener("install", () => self.skipWaiting());

  self.addEventListener("push", (e) => {
    let m = {};
    // A message that cannot be read is shown all the same: browsers end subscriptions that show nothing.
    try { m = e.data.json() || {}; } catch { /* the title says who wrote */ }
    e.waitUntil(self.registration.showNotification(m.title || "Tocsin", options(m)));
  });

  self.addEventListener("notificationclick", (e) => {
    const m = e.notification.data || {};
    e.notification.close();
    e.waitUntil(m.ack && (e.action === "accept" || e.action === "refuse") ? answer(m, e.action) : open(m.url));
  });

  // What the page says of the answer, in words: it may be that somebody else has it already.
  const entities = { amp: "&", lt: "<", gt: ">", quot: '"', "#34": '"', "#39": "'" };
  function said(html) {
    const p = /<p[^>]* role="(?:status|alert)"[^>]*>([^]*?)<\/p>/.exec(html);
    return p && p[1].replace(/<[^>]*>/g, "").replace(/&(#?\w+);/g, (all, name) => entities[name] || all).replace(/\s+/g, " ").trim();
  }

  async function answer(m, action) {
    let words = "";
    // A phone that was just woken may have no network yet; answering twice changes nothing.
    for (const wait of [0, 2000, 5000]) {
      await new Promise((go) => setTimeout(go, wait));
      try {
        const res = await fetch(here(m.ack.url), { method: "POST", body: new URLSearchParams({ answer: action, via: "push" }), signal: AbortSignal.timeout(10000) });
        words = said(await res.text());
        if (words) break;
      } catch { /* tried again */ }
    }
    if (!words) return self.registration.showNotification(m.title, { ...options(m), body: [m.ack.failed, m.body].filter(Boolean).join("\n") });
    return self.registration.showNotification(words, { body: m.title, lang: m.lang || "", tag: m.tag || "", data: { url: m.url } });
  }

  async function open(link) {
    const url = here(link || "/");
    for (const c of await self.clients.matchAll({ type: "window", includeUncontrolled: true })) if (c.url === url) return c.focus();
    return self.clients.openWindow(url);
  }

  // A subscription that the browser replaced is added as another way; the one before is disabled when it answers 410.
  self.addEventListener("pushsubscriptionchange", (e) => e.waitUntil((async () => {
    const s = e.newSubscription || e.oldSubscription && await self.registration.pushManager.subscribe(e.oldSubscription.options);
    if (s) await fetch("/on-call/me/methods", { method: "POST", redirect: "manual", body: new URLSearchParams({ "method.kind": "push", "method.to": JSON.stringify(s) }) });
  })()));
})();
