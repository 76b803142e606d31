/** The same call as a command, for curl and in Python; with names for the key, never the key. */
import { addressOf } from "../../api/client";
import { writeJson } from "../../api/json";
import { Dialog } from "../../ui/dialog";
import { Copy } from "../../ui/parts";

export interface Call {
  title: string;
  cli: string;
  method: string;
  path: string;
  params: Record<string, string>;
  body?: unknown;
}

export function asCurl(call: Call): string {
  const url = addressOf(call.path, call.params).href;
  const body = call.body === undefined ? "" : ` \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(writeJson(call.body))}`;
  return `curl -X ${call.method} ${quoted(url)} \\\n  -H "Authorization: Bearer $LEVANTE_API_KEY"${body}`;
}

export function asPython(call: Call): string {
  const url = JSON.stringify(addressOf(call.path, call.params).href);
  const body = call.body === undefined ? "" : `\n    headers={"Authorization": f"Bearer {os.environ['LEVANTE_API_KEY']}", "Content-Type": "application/json"},\n    content=${JSON.stringify(writeJson(call.body))},`;
  const headers = body || `\n    headers={"Authorization": f"Bearer {os.environ['LEVANTE_API_KEY']}"},`;
  return `import os\n\nimport httpx\n\nanswer = httpx.request(\n    "${call.method}",\n    ${url},${headers}\n)\nanswer.raise_for_status()`;
}

/** A text as one word of a shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function CommandsDialog({ call, onClose }: { call: Call; onClose: () => void }) {
  const forms: [string, string][] = [
    ["Command line", call.cli],
    ["curl", asCurl(call)],
    ["Python", asPython(call)],
  ];
  return (
    <Dialog title={call.title} onClose={onClose}>
      <div className="commands">
        {forms.map(([name, text]) => (
          <div key={name} className="stack tight">
            <div className="side-row">
              <h3>{name}</h3>
              <Copy text={text} label={`Copy for ${name}`} />
            </div>
            <pre className="json" tabIndex={0} role="region" aria-label={name}>
              {text}
            </pre>
          </div>
        ))}
      </div>
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
