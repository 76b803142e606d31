import { expect, test } from "vitest";
import { cronWords, durationWords } from "./times";

test.each([["PT1H30M", "1 h 30 min"], ["P1D", "1 d"], ["PT45S", "45 s"], ["P1M", "P1M"]])("%s is %s", (iso, words) => {
  expect(durationWords(iso)).toBe(words);
});

test("a cron expression that cannot be read is shown as it is", () => {
  expect(cronWords("0 2 * * *")).toBe("At 02:00");
  expect(cronWords("whenever")).toBe("whenever");
});
