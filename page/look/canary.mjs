// The canary, as the contract has it: A repairs every bad image, B creates a canary of geo. Once naive, once with MTPO.
const BAD = "registry/geo:1.4-bad";
const GOOD = "registry/geo:1.5";
const deployment = (name, image, replicas = 3) => JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name }, spec: { replicas, template: { spec: { containers: [{ name: "main", image }] } } } }, null, 2);
const json = (text) => ({ kind: "json", text, size: text.length, cut: false });
const K = (name) => `k8s:default/deployments/${name}`;

export const VALUES = {
  0: { kind: "absent", text: "", size: 0, cut: false },
  1: json(deployment("geo", BAD)), 2: json(deployment("rate", "registry/rate:2.0")), 3: json(deployment("geo", GOOD)),
  4: json(deployment("geo-canary", BAD, 1)), 5: json(deployment("geo-canary", GOOD, 1)), 6: json(deployment("web", BAD)), 7: json(deployment("web", GOOD)),
};

function writer(protocol) {
  const steps = [];
  let n = 0;
  let at = Date.UTC(2026, 10, 30, 9, 0, 0);
  return { steps, add: (kind, after, fields) => {
    at += after * 1000;
    n += 1 + (n % 3 === 0 ? 1 : 0);
    steps.push({ n, at, kind, ...fields });
    return n;
  }, header: (id) => ({ id, name: protocol, protocol, order: "early", log: `sqlite:canary-${protocol}.db`, domain: "canary", first: 0 }) };
}

const call = (rank, seq, name, tool, args, fields) => ({ rank, call: `${rank}:${seq}`, id: `${name}.${seq}`, tool, args, state: "done", irreversible: false, error: null, result: "ok", reads: [], scans: [], writes: [], text: `${tool}(${Object.entries(args).map(([k, v]) => `${k}=${v}`).join(", ")})`, ...fields });

export function canary(protocol, id) {
  const mtpo = protocol === "mtpo";
  const { steps, add, header } = writer(protocol);
  add("join", 0, { rank: 1, name: "A", order: 1, pinned: false, text: "A joins: repair every Deployment that runs a bad image" });
  add("join", 1, { rank: 2, name: "B", order: 2, pinned: false, text: "B joins: create a canary of geo with its current image" });
  add("call", 3, call(2, 1, "B", "get_deployment", { name: "geo" }, { reads: [{ key: K("geo"), part: "/spec/template" }], ops: [["base", K("geo"), 1]], result: VALUES[1].text }));
  add("call", 4, call(1, 1, "A", "list_deployments", { prefix: "" }, { scans: [{ prefix: "k8s:default/deployments/", part: null }], reads: [{ key: K("geo"), part: null }, { key: K("rate"), part: null }, { key: K("web"), part: null }], ops: [["base", K("rate"), 2], ["base", K("web"), 6]], result: "geo, rate, web" }));
  add("call", 6, call(1, 2, "A", "set_image", { name: "rate", image: "registry/rate:9" }, { state: "failed", error: "no such tag: registry/rate:9", reads: [{ key: K("rate"), part: null }], result: null }));
  const cause = add("call", 7, call(1, 3, "A", "set_image", { name: "geo", image: GOOD }, { reads: [{ key: K("geo"), part: null }], writes: [{ key: K("geo"), v: 3 }], ops: [["set", K("geo"), 1, 3, 0, "1:3", 3]] }));
  if (mtpo) add("call", 1, call(1, 4, "A", "set_image", { name: "web", image: GOOD }, { reads: [{ key: K("web"), part: null }], writes: [{ key: K("web"), v: 7 }], ops: [["set", K("web"), 1, 4, 0, "1:4", 7]] }));
  else add("call", 1, call(1, 4, "A", "set_image", { name: "web", image: GOOD }, { reads: [{ key: K("web"), part: null }], writes: [{ key: K("web"), v: 7 }], ops: [["set", K("web"), 1, 4, 0, "1:4", 7]] }));
  add("call", 5, call(2, 2, "B", "create_deployment", { name: "geo-canary", image: BAD, replicas: "1" }, { writes: [{ key: K("geo-canary"), v: 4 }], ops: [["base", K("geo-canary"), 0], ["set", K("geo-canary"), 2, 2, 0, "2:2", 4]] }));
  if (mtpo) {
    add("told", 0.2, { rank: 2, text: "B is told: k8s:default/deployments/geo changed", notices: [{ key: K("geo"), part: "/spec/template", kind: "changed", cause: { rank: 1, call: "1:3", name: "A", n: cause }, calls: ["2:1"], dependents: ["2:2"], stale: [{ call: "2:2", argument: "image", old: BAD, new: GOOD }], diff: `-        "image": "${BAD}"\n+        "image": "${GOOD}"` }] });
    add("amend", 9, call(2, 2, "B", "create_deployment", { name: "geo-canary", image: GOOD, replicas: "1" }, { text: `amend B.2: create_deployment(name=geo-canary, image=${GOOD})`, writes: [{ key: K("geo-canary"), v: 5 }], ops: [["set", K("geo-canary"), 2, 2, 0, "2:2", 5]] }));
    add("stage", 3, call(2, 3, "B", "send_mail", { to: "ops@example.org", subject: "canary of geo is up" }, { state: "staged", irreversible: true, result: "staged: runs at commit" }));
  }
  add("finish", 3, { rank: 1, text: "A finishes" });
  add("commit", 0.3, { rank: 1, text: "A commits", ops: [["del", K("geo"), 1, 3, 0], ["base", K("geo"), 3], ["del", K("web"), 1, 4, 0], ["base", K("web"), 7]] });
  add("finish", 2, { rank: 2, text: "B finishes" });
  if (mtpo) {
    add("outside", 1, { key: K("rate"), v: 2, diff: "-  \"replicas\": 3\n+  \"replicas\": 4", text: "somebody outside wrote k8s:default/deployments/rate" });
    add("ran", 1, call(2, 3, "B", "send_mail", { to: "ops@example.org", subject: "canary of geo is up" }, { irreversible: true, result: "sent" }));
  }
  add("commit", 0.3, { rank: 2, text: "B commits", ops: [["del", K("geo-canary"), 2, 2, 0], ["base", K("geo-canary"), mtpo ? 5 : 4]] });
  return { ...header(id), steps };
}

export function canaryData() {
  return { stories: [canary("naive", 0), canary("mtpo", 1)], values: { 0: VALUES, 1: VALUES } };
}
