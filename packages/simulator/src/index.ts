/** A generative city, and real recordings, served through the real APIs' formats on a virtual clock. */
export type { ClockSpec } from "./clock.ts";
export type { Fault, FaultKind, Malformation } from "./fault.ts";
export {
  type GenerativeBikeShare,
  nycBikeShare,
} from "./generate/bike-share-parameters.ts";
export {
  type Climate,
  type GenerativeCity,
  type Kind,
  sydneyPedestrians,
} from "./generate/parameters.ts";
export type { RecordedCity, RequestEntry, RequestLog, Simulator, SimulatorOptions } from "./options.ts";
export { recordedPeriod } from "./recorded/counts.ts";
export type { HalfLoadedDay } from "./recorded/requests.ts";
export { startSimulatorProcess, startSimulatorWorker } from "./remote.ts";
export { startSimulator } from "./simulator.ts";
