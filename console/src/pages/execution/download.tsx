/** Saves a history as a file, which the page for history files opens anywhere. */
import { writeJson } from "../../api/json";

export function DownloadHistory({ name, history }: { name: string; history: unknown }) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([writeJson(history, 1)], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name}-history.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return (
    <button type="button" className="button small" onClick={save}>
      Download
    </button>
  );
}
