// Live regions, keyboard, palette, drafts. Every page works without this file.
(() => {
  "use strict";
  const doc = document, root = doc.documentElement, $ = (s, e) => (e || doc).querySelector(s), $$ = (s, e) => [...(e || doc).querySelectorAll(s)];
  const words = root.dataset;

  // Drafts: text typed is kept until the server answers.
  const draftKey = (f) => f.dataset.draft ? "draft:" + location.pathname + ":" + f.dataset.draft : null;
  const storage = { get(k) { try { return JSON.parse(localStorage.getItem(k)); } catch { return null; } }, set(k, v) { try { v ? localStorage.setItem(k, JSON.stringify(v)) : localStorage.removeItem(k); } catch { /* full or refused */ } } };
  const texts = (f) => $$("input[type=text],input:not([type]),textarea", f).filter((i) => i.name);
  const restore = (scope) => $$("form[data-draft]", scope).forEach((f) => {
    const kept = storage.get(draftKey(f));
    if (kept && !kept.sent) for (const i of texts(f)) if (kept[i.name] && !i.value) i.value = kept[i.name];
    if (kept && kept.sent) storage.set(draftKey(f), null);
  });
  doc.addEventListener("input", (e) => {
    const f = e.target.form;
    if (f && draftKey(f)) storage.set(draftKey(f), Object.fromEntries(texts(f).map((i) => [i.name, i.value])));
  });

  // A second press of the same button sends nothing twice.
  doc.addEventListener("submit", (e) => {
    const f = e.target;
    if (f.method !== "post") return;
    if (f.dataset.sent && Date.now() - f.dataset.sent < 5000) { e.preventDefault(); return; }
    f.dataset.sent = Date.now();
    const k = draftKey(f), kept = k && storage.get(k);
    if (kept) { kept.sent = navigator.onLine; storage.set(k, kept); }
  });
  addEventListener("pageshow", () => $$("form[data-sent]").forEach((f) => delete f.dataset.sent));

  // On a phone the row of tabs begins where the reader is.
  const here = $(".tabs [aria-current]");
  if (here) here.parentNode.scrollLeft = here.offsetLeft - here.parentNode.offsetLeft - 40;

  // A public form shows that its sender took some trouble, where the browser can.
  $$("form[data-proof]").forEach((f) => f.addEventListener("input", async () => {
    const bits = Number(f.dataset.proof), word = f.elements.challenge.value, enc = new TextEncoder();
    for (let n = 0; crypto.subtle; n++) {
      const d = new DataView(await crypto.subtle.digest("SHA-256", enc.encode(word + "." + n)));
      if (d.getUint32(0) >>> (32 - bits) === 0) { f.elements.proof.value = n; return; }
    }
  }, { once: true }));

  $$("[data-copy]").forEach((b) => { b.hidden = false; });

  // Live regions: an event names topics; each region that listens is fetched again.
  const say = (t) => { const s = $("#announce"); if (s && (!say.at || Date.now() - say.at > 10000)) { say.at = Date.now(); s.textContent = t; } };
  let pending = new Set(), timer = 0, busy = false;
  const scrolledInto = (el) => el.contains(doc.activeElement) && doc.activeElement !== doc.body || el.dataset.live.includes("timeline") && scrollY > el.offsetTop + 40;
  async function refresh(force) {
    if (busy) return;
    const regions = $$("[data-live]").filter((r) => force || r.dataset.live.split(" ").some((t) => pending.has(t) || pending.has("*")));
    pending = new Set();
    if (!regions.length) return;
    busy = true;
    const slow = setTimeout(() => regions.forEach((r) => r.setAttribute("aria-busy", "true")), 400);
    try {
      const res = await fetch(location.href, { headers: { "X-Live": "1" }, credentials: "same-origin" });
      if (!res.ok) return;
      const fresh = new DOMParser().parseFromString(await res.text(), "text/html");
      alive(Date.now());
      for (const old of regions) {
        const next = fresh.getElementById(old.id);
        if (!next || next.innerHTML === old.innerHTML) continue;
        const typing = $$("input,textarea,select", old).some((i) => i === doc.activeElement || i.type !== "hidden" && i.value && i.value !== i.defaultValue && i.type !== "checkbox" && i.type !== "radio" && i.tagName !== "SELECT");
        if (typing) continue;
        const more = Number(next.dataset.count || 0) - Number(old.dataset.count || 0);
        if (!force && more > 0 && scrolledInto(old)) { offer(old, more); continue; }
        swap(old, next);
        if (more > 0) say((words.newEntries || "").replace("#", more));
      }
    } catch { /* the stale band says it */ } finally { clearTimeout(slow); busy = false; regions.forEach((r) => r.removeAttribute("aria-busy")); }
  }
  // What a control is called where it has no id: its words, and where it leads.
  const called = (el) => [el.tagName, el.textContent, el.getAttribute("href"), el.name, el.value, el.form && el.form.getAttribute("action")].join("|");
  function swap(old, next) {
    const inside = old.contains(doc.activeElement), had = inside ? doc.activeElement.id : null, name = inside ? called(doc.activeElement) : null, open = $$("details[open][id]", old).map((d) => d.id);
    old.innerHTML = next.innerHTML;
    for (const a of next.attributes) old.setAttribute(a.name, a.value);
    old.classList.add("fresh");
    open.forEach((id) => { const d = doc.getElementById(id); if (d) d.open = true; });
    restore(old);
    if (inside) { const back = had && doc.getElementById(had) || $$("a,button,summary", old).find((el) => called(el) === name) || $("h1,h2,h3", old); if (back) { if (!back.matches("a,button,input,select,textarea")) back.tabIndex = -1; back.focus({ preventScroll: true }); } }
  }
  function offer(old, n) {
    let b = $(".offer", old.parentNode);
    if (!b) { b = doc.createElement("button"); b.type = "button"; b.className = "offer"; b.addEventListener("click", () => { b.remove(); refresh(true); }); old.before(b); }
    b.textContent = (words.newEntries || "#").replace("#", n);
    say(b.textContent);
  }
  let seen = Date.now(), polling = 0;
  const band = $("#stale"), upd = $("#updated");
  // Times are the server's, in the zone that the page names: the clock here may be wrong.
  const ahead = upd ? Date.parse(upd.dataset.at) - Date.now() : 0;
  const clock = (at) => new Date(at + ahead).toLocaleTimeString("en-GB", { timeZone: upd ? upd.dataset.zone : undefined });
  function alive(at) { seen = at; if (band && !band.hidden) { band.hidden = true; refresh(true); } if (upd) upd.textContent = clock(at); }
  function wake(topics) { topics.forEach((t) => pending.add(t)); clearTimeout(timer); timer = setTimeout(refresh, 250); }
  function stream() {
    if (!$("[data-live]") || !root.dataset.user) return;
    const post = (m) => { if (chan) chan.postMessage(m); take(m); };
    const take = (m) => { alive(Date.now()); if (m.topics) wake(m.topics); };
    const chan = "BroadcastChannel" in self ? new BroadcastChannel("live") : null;
    if (chan) chan.onmessage = (e) => take(e.data);
    const open = () => new Promise(() => {
      const es = new EventSource("/live");
      es.addEventListener("facts", (e) => post({ topics: e.data.split(" ") }));
      es.addEventListener("beat", () => post({}));
      es.onerror = () => { if (es.readyState === 2) polling = polling || setInterval(() => { pending.add("*"); refresh(); }, 15000); };
    });
    // Tabs share one stream: the one that holds the lock listens for all.
    if (navigator.locks && chan) navigator.locks.request("live", open); else open();
    setInterval(() => { if (band && Date.now() - seen > 15000 && band.hidden) { band.hidden = false; $("time", band).textContent = clock(seen); } }, 1000);
  }

  // Keyboard and palette.
  const goto = { n: "/", i: "/incidents", o: "/on-call", r: "/reviews" };
  let lead = "";
  const dialog = $("#palette");
  function palette() {
    if (!dialog || dialog.open) return;
    const back = doc.activeElement, q = $("input", dialog), list = $("ul", dialog);
    q.value = ""; list.replaceChildren(); dialog.showModal(); fill("");
    dialog.addEventListener("close", () => back && back.focus && back.focus(), { once: true });
  }
  const plain = (s) => s.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "");
  let asked = 0;
  async function fill(q) {
    const list = $("ul", dialog), mine = ++asked, found = $$("a[data-cmd], .nav a, .actionbar a, .tabs a").filter((a) => a.href && plain(a.textContent + " " + (a.dataset.cmd || "")).includes(plain(q)));
    const show = (as) => { const had = new Set(); list.replaceChildren(...as.filter((a) => !had.has(a.href) && had.add(a.href)).slice(0, 12).map((a) => { const li = doc.createElement("li"), l = doc.createElement("a"); l.href = a.href; l.textContent = a.textContent.trim().replace(/\s+/g, " "); li.append(l); return li; })); };
    show(found);
    if (q.trim().length < 2) return;
    try {
      const res = await fetch("/search?q=" + encodeURIComponent(q), { headers: { "X-Live": "1" } });
      const page = new DOMParser().parseFromString(await res.text(), "text/html");
      if (mine === asked) show([...$$("#results a", page), ...found]);
    } catch { /* the pages found here stay */ }
  }
  if (dialog) {
    let t = 0;
    $("input", dialog).addEventListener("input", (e) => { clearTimeout(t); t = setTimeout(() => fill(e.target.value), 120); });
    dialog.addEventListener("keydown", (e) => {
      if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
      e.preventDefault();
      const all = [$("input", dialog), ...$$("li a", dialog)], i = all.indexOf(doc.activeElement) + (e.key === "ArrowDown" ? 1 : -1);
      all[(i + all.length) % all.length].focus();
    });
    $("form", dialog).addEventListener("submit", (e) => { const first = $("li a", dialog); if (first) { e.preventDefault(); first.click(); } });
  }
  doc.addEventListener("keydown", (e) => {
    const field = e.target.closest("input,textarea,select,[contenteditable]");
    if ((e.ctrlKey || e.metaKey) && e.key === "k") { e.preventDefault(); palette(); return; }
    if ((e.ctrlKey || e.metaKey) && e.key === "Enter" && field && field.form) { field.form.requestSubmit(); return; }
    if (e.key === "Escape" && field && !(dialog && dialog.open)) { field.blur(); return; }
    if (e.key === "Escape") { $$("details.menu[open]").forEach((d) => { d.open = false; $("summary", d).focus(); }); return; }
    if (field || e.ctrlKey || e.metaKey || e.altKey || root.dataset.keys === "off" || dialog && dialog.open) return;
    if (lead === "g" && goto[e.key]) { lead = ""; location.href = goto[e.key]; return; }
    lead = e.key === "g" ? "g" : "";
    if (lead) { setTimeout(() => { lead = ""; }, 1500); return; }
    if (e.key === "?") { location.href = "/help#keys"; return; }
    if (e.key === "/") { e.preventDefault(); palette(); return; }
    if (e.key === "j" || e.key === "k") {
      const rows = $$(".timeline .when, tbody th a, .lines > li > :first-child a").filter((a) => a.matches(".when") || !$(".timeline")), i = rows.indexOf(doc.activeElement);
      if (rows.length) rows[Math.max(0, Math.min(rows.length - 1, e.key === "j" ? i + 1 : i - 1))].focus();
      return;
    }
    if (e.key === "s") {
      const star = e.target.closest("li") && $("[data-star]", e.target.closest("li"));
      if (star) { e.preventDefault(); star.click(); }
      return;
    }
    const to = $(`[data-key="${CSS.escape(e.key)}"]`);
    if (to) { e.preventDefault(); if (to.matches("a")) to.click(); else to.focus(); }
  });

  doc.addEventListener("click", (e) => {
    const c = e.target.closest("[data-copy]");
    if (c) { navigator.clipboard.writeText(c.dataset.copy).then(() => { c.textContent = words.copied || "Copied"; say(c.textContent); }); return; }
    if (e.target.closest("[data-refresh]")) { e.preventDefault(); refresh(true); return; }
    $$("details.menu[open]").forEach((d) => { if (!d.contains(e.target)) d.open = false; });
  });
  // Declare: incidents that may be the same, and what to do without a network.
  const same = $("form[data-similar]");
  if (same) {
    let wait = 0;
    $("[name=title]", same).addEventListener("input", (e) => {
      clearTimeout(wait);
      wait = setTimeout(async () => {
        try {
          const res = await fetch("/incidents/new?title=" + encodeURIComponent(e.target.value), { headers: { "X-Live": "1" } });
          const next = new DOMParser().parseFromString(await res.text(), "text/html").getElementById("similar");
          if (next) $("#similar").innerHTML = next.innerHTML;
        } catch { /* they are a help, nothing more */ }
      }, 300);
    });
    const offline = $("[data-offline]"), tell = () => { offline.hidden = navigator.onLine; };
    addEventListener("offline", tell); addEventListener("online", tell); tell();
    same.addEventListener("submit", (e) => { if (!navigator.onLine) { e.preventDefault(); delete same.dataset.sent; tell(); offline.scrollIntoView(); } });
  }
  // A list of choices that is a filter answers as it is chosen.
  $$("form[data-auto]").forEach((f) => { $("button", f).hidden = true; f.addEventListener("change", () => f.requestSubmit()); });
  $$("[data-js]").forEach((el) => { el.hidden = false; });
  // Assess: the result follows the answers.
  const live = $("form[data-result]");
  if (live) live.addEventListener("change", async () => {
    const q = new URLSearchParams(new FormData(live)); q.delete("idempotency_key"); q.set("show", "1");
    const res = await fetch(location.pathname + "?" + q, { headers: { "X-Live": "1" } }), page = new DOMParser().parseFromString(await res.text(), "text/html");
    const a = $("#result"), b = page.getElementById("result");
    if (a && b) a.innerHTML = b.innerHTML;
  });
  // Tabs that do not fit show the one that is open.
  const tab = $(".tabs [aria-current]");
  if (tab) tab.parentNode.scrollLeft = tab.offsetLeft - tab.parentNode.offsetLeft - 48;
  restore();
  const summary = $("#problems"); if (summary) summary.focus();
  stream();
})();
