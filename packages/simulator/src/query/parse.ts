import { type Comparison, type Expression, type Literal, QueryError } from "./expression.ts";

/**
 * The small languages of conditions. They share the grammar
 * `or := and {OR and}; and := not {AND not}; not := NOT not | (or) | predicate` and differ in quoting, dates and names.
 */
export type Dialect = "sql92" | "odsql" | "soql";

type Token = { kind: "word" | "text" | "number" | "mark" | "quoted"; value: string; at: number };

const COMPARISONS = new Set(["=", "<>", "!=", "<", "<=", ">", ">="]);

/** @throws QueryError for anything outside the subset. */
export function parseCondition(source: string, dialect: Dialect): Expression {
  const parser = new Parser(tokenize(source, dialect), source, dialect);
  const expression = parser.or();
  parser.end();
  return expression;
}

function tokenize(source: string, dialect: Dialect): Token[] {
  const tokens: Token[] = [];
  // System fields of SoQL begin with a colon.
  const colon = dialect === "soql";
  const pattern =
    /\s+|('(?:[^']|'')*')|("(?:[^"\\]|\\.|"")*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![A-Za-z_])|(:?@?[A-Za-z_][A-Za-z0-9_.]*)|`([^`]+)`|(<>|!=|<=|>=|[=<>(),*])|(.)/gsy;
  for (const match of source.matchAll(pattern)) {
    const at = match.index;
    const [, single, double, number, word, ticked, mark, wrong] = match;
    if (single !== undefined)
      tokens.push({ kind: "text", value: single.slice(1, -1).replaceAll("''", "'"), at });
    else if (double !== undefined) {
      const value = double.slice(1, -1).replaceAll('""', '"').replace(/\\(.)/g, "$1");
      tokens.push({ kind: dialect === "odsql" ? "text" : "quoted", value, at });
    } else if (number !== undefined) tokens.push({ kind: "number", value: number, at });
    else if (word !== undefined && !colon && /^[:@]/.test(word))
      throw new QueryError(`unexpected character '${word[0]}' at ${at}`);
    else if (word !== undefined) tokens.push({ kind: "word", value: word, at });
    else if (ticked !== undefined) tokens.push({ kind: "quoted", value: ticked, at });
    else if (mark !== undefined) tokens.push({ kind: "mark", value: mark, at });
    else if (wrong !== undefined) throw new QueryError(`unexpected character '${wrong}' at ${at}`);
  }
  return tokens;
}

class Parser {
  readonly #tokens: Token[];
  readonly #source: string;
  readonly #dialect: Dialect;
  #next = 0;

  constructor(tokens: Token[], source: string, dialect: Dialect) {
    this.#tokens = tokens;
    this.#source = source;
    this.#dialect = dialect;
  }

  or(): Expression {
    const parts = [this.#and()];
    while (this.#takeWord("OR")) parts.push(this.#and());
    return parts.length === 1 ? parts[0]! : { op: "or", parts };
  }

  end(): void {
    if (this.#next < this.#tokens.length) throw this.#wrong();
  }

  #and(): Expression {
    const parts = [this.#not()];
    while (this.#takeWord("AND")) parts.push(this.#not());
    return parts.length === 1 ? parts[0]! : { op: "and", parts };
  }

  #not(): Expression {
    if (this.#takeWord("NOT")) return { op: "not", part: this.#not() };
    if (this.#takeMark("(")) {
      const inside = this.or();
      this.#expectMark(")");
      return inside;
    }
    return this.#predicate();
  }

  #predicate(): Expression {
    const first = this.#tokens[this.#next];
    // 1=1 and 1=0: a constant on both sides.
    if (first?.kind === "number") {
      this.#next++;
      const comparison = this.#comparison();
      const right = this.#literal();
      if (!("number" in right)) throw this.#wrong();
      const left = Number(first.value);
      const equal = left === right.number;
      if (comparison === "=") return { op: "always", value: equal };
      if (comparison === "<>") return { op: "always", value: !equal };
      throw this.#wrong();
    }
    if (first?.kind !== "word" && first?.kind !== "quoted") throw this.#wrong();
    this.#next++;
    const field = first.value;
    if (this.#takeWord("IS")) {
      const negated = this.#takeWord("NOT");
      if (!this.#takeWord("NULL")) throw this.#wrong();
      return maybeNot({ op: "null", field }, negated);
    }
    const negated = this.#takeWord("NOT");
    if (this.#takeWord("IN")) {
      this.#expectMark("(");
      const values = [this.#literal()];
      while (this.#takeMark(",")) values.push(this.#literal());
      this.#expectMark(")");
      return maybeNot({ op: "in", field, values }, negated);
    }
    if (this.#takeWord("LIKE")) {
      const pattern = this.#literal();
      if (!("text" in pattern)) throw this.#wrong();
      return maybeNot(
        { op: "like", field, pattern: pattern.text, anywhere: this.#dialect === "odsql" },
        negated,
      );
    }
    if (this.#takeWord("BETWEEN")) {
      const low = this.#literal();
      if (!this.#takeWord("AND")) throw this.#wrong();
      const high = this.#literal();
      const parts: Expression[] = [
        { op: "compare", field, comparison: ">=", value: low },
        { op: "compare", field, comparison: "<=", value: high },
      ];
      return maybeNot({ op: "and", parts }, negated);
    }
    if (negated) throw this.#wrong();
    return { op: "compare", field, comparison: this.#comparison(), value: this.#literal() };
  }

  #comparison(): Comparison {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "mark" || !COMPARISONS.has(token.value)) throw this.#wrong();
    this.#next++;
    return (token.value === "!=" ? "<>" : token.value) as Comparison;
  }

  #literal(): Literal {
    const token = this.#tokens[this.#next];
    if (token?.kind === "number") {
      this.#next++;
      return { number: Number(token.value) };
    }
    if (token?.kind === "text") {
      this.#next++;
      return { text: token.value };
    }
    if (token?.kind === "word" && /^(timestamp|date)$/i.test(token.value)) {
      const text = this.#tokens[this.#next + 1];
      if (text?.kind === "text") {
        this.#next += 2;
        return { instant: text.value };
      }
    }
    throw this.#wrong();
  }

  #takeWord(word: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "word" || token.value.toUpperCase() !== word) return false;
    this.#next++;
    return true;
  }

  #takeMark(mark: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "mark" || token.value !== mark) return false;
    this.#next++;
    return true;
  }

  #expectMark(mark: string): void {
    if (!this.#takeMark(mark)) throw this.#wrong();
  }

  #wrong(): QueryError {
    const token = this.#tokens[this.#next];
    const where = token === undefined ? "the end" : `'${token.value}' at ${token.at}`;
    return new QueryError(`unexpected ${where} in: ${this.#source}`);
  }
}

function maybeNot(part: Expression, negated: boolean): Expression {
  return negated ? { op: "not", part } : part;
}
