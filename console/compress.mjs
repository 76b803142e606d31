// Puts what Vite has built where the API serves it from, each file compressed, and nothing that was there before.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const from = new URL("build/site/", import.meta.url).pathname;
const into = new URL("../functions/api/levante_api/console/built/", import.meta.url).pathname;

rmSync(into, { recursive: true, force: true });
for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath, entry.name);
  const target = join(into, path.slice(from.length) + ".gz");
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, gzipSync(readFileSync(path), { level: 9 }));
}
