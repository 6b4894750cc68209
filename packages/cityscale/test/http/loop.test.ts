// A training takes seconds: all that needs one shares it, in this order.
import "./answers.ts";
import "./exports.ts";
import "./predictions.ts";
import "./decisions.ts";
import { afterAll, beforeAll } from "vitest";
import { openLoop, test } from "./world.ts";

beforeAll(openLoop, 120_000);
afterAll(async () => {
  await test[Symbol.asyncDispose]();
});
