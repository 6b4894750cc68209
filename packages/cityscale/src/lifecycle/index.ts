export { type GateResult, judgeCandidate, type Verdict } from "./gates.ts";
