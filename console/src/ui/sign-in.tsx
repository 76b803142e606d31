/** Asks for an API key, at first and whenever the server no longer takes the one that it has. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { FormEvent } from "react";
import { setKey } from "../api/session";
import { Dialog } from "./dialog";

export function SignIn({ isRefused }: { isRefused: boolean }) {
  const [secret, setSecret] = useState("");
  const queries = useQueryClient();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setKey(secret.trim());
    void queries.invalidateQueries();
  };
  return (
    <Dialog title="Sign in to Levante">
      <form onSubmit={submit} style={{ padding: 0 }}>
        {isRefused ? (
          <p className="note bad" role="alert">
            The server does not accept this API key: it is unknown, or was revoked. What you typed on the page is kept.
          </p>
        ) : (
          <p className="quiet">
            <code>levante dev</code> prints a link that signs in. Elsewhere, ask for a key: the role <code>viewer</code> is
            enough to look around.
          </p>
        )}
        <div className="field">
          <label htmlFor="api-key">API key</label>
          <input
            id="api-key"
            className="input mono"
            type="password"
            autoComplete="off"
            spellCheck={false}
            required
            autoFocus
            value={secret}
            onChange={(event) => setSecret(event.target.value)}
          />
          <span className="hint">Kept in this tab until you close it or sign out, and nowhere else.</span>
        </div>
        <div className="buttons">
          <button className="button primary" type="submit">
            Sign in
          </button>
        </div>
      </form>
    </Dialog>
  );
}
