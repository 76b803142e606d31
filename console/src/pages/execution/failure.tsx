/** A failure with what caused it: type and message, the stack behind a click. */
import type { Failure } from "../../api/explain";
import { Copy } from "../../ui/parts";

export function FailureView({ failure }: { failure: Failure }) {
  return (
    <div className="failure">
      <div>
        <strong>{failure.type || failure.kind}</strong>: {failure.message} <Copy text={textOf(failure)} label="Copy the error" />
      </div>
      {failure.stack && (
        <details>
          <summary>Stack</summary>
          <pre className="json" tabIndex={0} role="region" aria-label="Stack">
            {failure.stack}
          </pre>
        </details>
      )}
      {failure.cause && (
        <div className="failure" style={{ paddingLeft: 12 }}>
          <span className="quiet small">Caused by</span>
          <FailureView failure={failure.cause} />
        </div>
      )}
    </div>
  );
}

function textOf(failure: Failure): string {
  const cause = failure.cause ? `\nCaused by ${textOf(failure.cause)}` : "";
  return `${failure.type}: ${failure.message}\n${failure.stack ?? ""}${cause}`;
}
