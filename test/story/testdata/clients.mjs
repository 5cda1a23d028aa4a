// What the makers of other tools give their users to send with, run as a user would. It
// prints what each was answered.
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES + "/");
const pagerduty = require("@pagerduty/pdjs");
const opsgenie = require("opsgenie-sdk");
const { CloudEvent, Mode, emitterFor, httpTransport } = require("cloudevents");
const octokit = require("@octokit/webhooks-examples");

const { BASE, TLS_HOST, ROUTING_KEY, SECRET } = process.env;
const told = {};

const page = (data) => pagerduty.event({ server: TLS_HOST, data: { routing_key: ROUTING_KEY, ...data } }).then((r) => r.response.status);
told.pdjs = [
  await page({ event_action: "trigger", dedup_key: "pdjs-1", payload: { summary: "Queue is full", source: "queue-1", severity: "critical" } }),
  await page({ event_action: "acknowledge", dedup_key: "pdjs-1" }),
  await page({ event_action: "trigger", dedup_key: "pdjs-2", payload: { summary: "Queue is slow", source: "queue-1", severity: "warning" } }),
  await page({ event_action: "resolve", dedup_key: "pdjs-2" }),
  await pagerduty.change({ server: TLS_HOST, data: { routing_key: ROUTING_KEY, payload: { summary: "Deployed 42", source: "ci" } } }).then((r) => r.response.status),
  await page({ event_action: "trigger", payload: { summary: "No severity", source: "queue-1" } }),
];

opsgenie.configure({ host: BASE, api_key: "k-opsgenie" });
const call = (name, ...args) => new Promise((done) => opsgenie.alertV2[name](...args, (err, res) => done(err ? "error: " + (err.message ?? JSON.stringify(err)) : res.result)));
told.opsgenie = [
  await call("create", { message: "Backup is late", alias: "og-1", priority: "P1" }),
  await call("acknowledge", { identifier: "og-1", identifierType: "alias" }, { note: "I look" }),
  await call("create", { message: "Disk is full", alias: "og-2" }),
  await call("close", { identifier: "og-2", identifierType: "alias" }, { note: "done" }),
];

const emit = async (mode, id) => {
  const send = emitterFor(httpTransport(BASE + "/in/k-events/cloudevents"), { mode });
  await send(new CloudEvent({ id, source: "/shop", type: "com.example.alert.firing", subject: id, data: { summary: "Event " + id } }));
  return "sent";
};
told.cloudevents = [await emit(Mode.STRUCTURED, "ce-1"), await emit(Mode.BINARY, "ce-2")];

const deliver = (event, payload, secret) => {
  const body = JSON.stringify(payload);
  const signature = "sha256=" + createHmac("sha256", secret).update(body).digest("hex");
  return fetch(BASE + "/in/k-forge/github", { method: "POST", body, headers: { "content-type": "application/json", "x-github-event": event, "x-hub-signature-256": signature } }).then((r) => r.status);
};
told.octokit = {};
for (const { name, examples } of octokit.default ?? octokit) {
  for (const example of examples) {
    const status = await deliver(name, example, SECRET);
    told.octokit[status] = (told.octokit[status] ?? 0) + 1;
  }
}
told.forged = await deliver("push", { ref: "x" }, SECRET + "x");
console.log(JSON.stringify(told));
