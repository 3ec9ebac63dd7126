// Many agents and many calls, for seeing whether the page stays fluent. The same seed gives the same story.
function random(seed) {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function bigData(agents = 200, calls = 100_000, seed = 1) {
  const rnd = random(seed);
  const int = (n) => Math.floor(rnd() * n);
  const steps = [];
  const values = { 0: { kind: "absent", text: "", size: 0, cut: false } };
  let n = 0, v = 0, at = Date.UTC(2026, 10, 30, 8, 0, 0);
  const add = (kind, fields) => {
    at += rnd() < 0.0005 ? 600_000 : Math.floor(rnd() * rnd() * 900);
    n += 1 + int(2);
    steps.push({ n, at, kind, ...fields });
    return n;
  };
  const files = Array.from({ length: 2000 }, (_, i) => `file:src/${["api", "core", "ui", "db"][i % 4]}/part${Math.floor(i / 40)}/module_${i}.py`);
  const top = new Map();
  const readers = new Map();
  const seqs = new Array(agents + 1).fill(0);
  const value = (key, who) => {
    v += 1;
    if (v < 4000) {
      const text = Array.from({ length: 12 }, (_, i) => (i === v % 12 ? `line ${i} by ${who} #${v}` : `line ${i}`)).join("\n") + "\n";
      values[v] = { kind: "text", text, size: text.length, cut: false };
    }
    return v;
  };
  for (let rank = 1; rank <= agents; rank++) add("join", { rank, name: `worker-${String(rank).padStart(3, "0")}`, order: rank, pinned: false, text: `worker-${rank} joins` });
  let made = 0;
  while (made < calls) {
    const rank = 1 + int(agents);
    const name = `worker-${String(rank).padStart(3, "0")}`;
    const key = files[Math.min(files.length - 1, Math.floor(files.length * rnd() * rnd()))];
    const seq = ++seqs[rank];
    const uid = `${rank}:${seq}`;
    const id = `${name}.${seq}`;
    const base = { rank, call: uid, id, irreversible: false, error: null, result: "ok", scans: [] };
    made += 1;
    const dice = rnd();
    const first = top.has(key) ? [] : [["base", key, value(key, "start")]];
    if (first.length) top.set(key, "base");
    if (dice < 0.62) {
      add("call", { ...base, tool: "read_file", args: { path: key.slice(5) }, state: "done", reads: [{ key, part: null }], writes: [], ops: first, text: `read_file(path=${key.slice(5)})` });
      if (!readers.has(key)) readers.set(key, []);
      readers.get(key).push([rank, uid]);
    } else if (dice < 0.65) {
      add("call", { ...base, tool: "edit_file", args: { path: key.slice(5), old: "x", new: "y" }, state: "failed", error: "the text is not there", reads: [{ key, part: null }], writes: [], ops: first, text: `edit_file(path=${key.slice(5)})` });
    } else if (dice < 0.66) {
      add("block", { rank, by: [1 + int(agents)], text: `${name} waits` });
    } else {
      const w = value(key, name);
      const cause = add("call", { ...base, tool: "edit_file", args: { path: key.slice(5), old: "x", new: "y" }, state: "done", reads: [{ key, part: null }], writes: [{ key, v: w }], ops: [...first, ["set", key, rank, seq, 0, uid, w]], text: `edit_file(path=${key.slice(5)})` });
      const told = (readers.get(key) ?? []).filter(([r]) => r > rank).slice(-1);
      readers.set(key, []);
      for (const [r, saw] of told) {
        add("told", { rank: r, text: `worker-${r} is told: ${key} changed`, notices: [{ key, part: null, kind: "changed", cause: { rank, call: uid, name, n: cause }, calls: [saw], dependents: [], stale: [], diff: "-line 3\n+line 3 changed" }] });
        if (rnd() < 0.4) {
          const s = ++seqs[r];
          const w2 = value(key, `worker-${r}`);
          const rname = `worker-${String(r).padStart(3, "0")}`;
          add("amend", { rank: r, call: `${r}:${s}`, id: `${rname}.${s}`, tool: "edit_file", args: {}, state: "done", irreversible: false, error: null, result: "ok", reads: [], scans: [], writes: [{ key, v: w2 }], ops: [["set", key, r, s, 0, `${r}:${s}`, w2]], text: `amend ${rname}.${s}: edit_file(path=${key.slice(5)})` });
        }
      }
    }
  }
  for (let rank = 1; rank <= agents - 20; rank++) {
    add("finish", { rank, text: `worker-${rank} finishes` });
    add("commit", { rank, text: `worker-${rank} commits` });
  }
  return { stories: [{ id: 0, name: "mtpo", protocol: "mtpo", order: "early", log: "sqlite:big.db", domain: "big", first: 0, steps }], values: { 0: values } };
}
