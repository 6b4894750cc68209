export {
  type Annotation,
  type AnnotationFilter,
  annotate,
  endAnnotations,
  type FoundKind,
  foundKinds,
  listAnnotations,
  type StandIn,
} from "./annotations.ts";
export { Connection, type Engine, literal, type NumberColumns, openEngine } from "./duckdb.ts";
export { type AppendReport, Lake, type LakeOptions, type SourceState } from "./lake.ts";
export { addReports, type MergeReport } from "./merge.ts";
export { type AgedRows, countAged, type Removal, removeAged, retainedFrom } from "./retention.ts";
export { weatherColumns } from "./schema.ts";
export {
  type DatasetVersion,
  exportVersion,
  listVersions,
  openVersion,
  removeVersion,
  type StoredVersion,
} from "./version.ts";
