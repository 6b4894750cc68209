import { z } from "zod";
import { CityScaleError } from "../core/index.ts";
import { parseDuration, type Source, type SourceDeclaration } from "../domain/index.ts";
import { arcgisKind } from "./arcgis/index.ts";
import { eventsCsvKind } from "./events-csv.ts";
import { filesKind } from "./files/index.ts";
import { gbfsKind } from "./gbfs/index.ts";
import { OptionError, type SourceContext, type SourceKind } from "./kind.ts";
import { openMeteoKind } from "./open-meteo.ts";
import { opendatasoftKind } from "./opendatasoft/index.ts";
import { publicHolidaysKind } from "./public-holidays.ts";
import { schoolHolidaysKind } from "./school-holidays.ts";
import { socrataKind } from "./socrata/index.ts";

interface BoundKind {
  readonly kind: string;
  readonly description: string;
  /** JSON Schema of the options, for docs and forms. */
  readonly optionsSchema: () => unknown;
  readonly parse: (name: string, declaration: SourceDeclaration) => BoundDeclaration;
}

interface BoundDeclaration {
  readonly publicationLag: string;
  readonly create: (context: SourceContext) => Source;
}

/** Hides a kind's own option type, so that the kinds fit in one list. */
function bind<Options extends { publicationLag: string }>(kind: SourceKind<Options>): BoundKind {
  return {
    kind: kind.kind,
    description: kind.description,
    optionsSchema: () => z.toJSONSchema(kind.options, { io: "input", unrepresentable: "any" }),
    parse: (name, declaration) => {
      const parsed = kind.options.safeParse(declaration);
      if (!parsed.success) {
        throw invalid(
          name,
          parsed.error.issues.map((issue) => ({ field: issue.path.join("."), message: issue.message })),
        );
      }
      return {
        publicationLag: parsed.data.publicationLag,
        create: (context) => {
          try {
            return kind.create(parsed.data, context);
          } catch (error) {
            if (error instanceof OptionError) throw invalid(name, [error], error);
            throw error;
          }
        },
      };
    },
  };
}

/** Every kind of source that a city file can declare. */
export const sourceKinds: readonly BoundKind[] = [
  bind(arcgisKind),
  bind(opendatasoftKind),
  bind(socrataKind),
  bind(gbfsKind),
  bind(openMeteoKind),
  bind(publicHolidaysKind),
  bind(schoolHolidaysKind),
  bind(eventsCsvKind),
  bind(filesKind),
];

function parse(name: string, declaration: SourceDeclaration): BoundDeclaration {
  const kind = sourceKinds.find((candidate) => candidate.kind === declaration.kind);
  if (!kind) {
    const known = sourceKinds.map((candidate) => candidate.kind).join(", ");
    throw invalid(name, [
      { field: "kind", message: `there is no source kind "${declaration.kind}"; known: ${known}` },
    ]);
  }
  return kind.parse(name, declaration);
}

/** Builds a declared source. Throws CityScaleError CITY_INVALID that names every wrong field. */
export function createSource(name: string, declaration: SourceDeclaration, context: SourceContext): Source {
  return parse(name, declaration).create(context);
}

/** Time from the end of a step to its publication, as declared or by the kind's default. Throws CITY_INVALID. */
export function publicationLagMs(declaration: SourceDeclaration): number {
  return parseDuration(parse(declaration.kind, declaration).publicationLag);
}

function invalid(name: string, problems: readonly { field: string; message: string }[], cause?: unknown) {
  const lines = problems.map(
    ({ field, message }) => `sources.${name}${field ? `.${field}` : ""}: ${message}`,
  );
  return new CityScaleError("CITY_INVALID", lines.join("; "), {
    cause,
    details: { source: name, fields: problems.map(({ field }) => field) },
  });
}
