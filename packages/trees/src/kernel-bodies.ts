import { ExponentialPair } from "./exponential.ts";
import {
  type Derive,
  type KernelArguments,
  outside,
  perDraw,
  perHalfDraw,
  rounder,
} from "./kernel-arguments.ts";
import { Body, type FunctionSpec, type } from "./wasm-writer.ts";

/** The kernels as WebAssembly functions, with all shapes and addresses folded in. */
export function bodies(given: KernelArguments, withBins: boolean): FunctionSpec[] {
  const { i32, f64 } = type;
  const functions: FunctionSpec[] = [
    { name: "all", params: [i32, i32], results: [], body: addRowsBody(given, false) },
    { name: "some", params: [i32, i32], results: [], body: addRowsBody(given, true) },
    { name: "quantise", params: [i32, i32, f64, f64, i32], results: [], body: quantiseBody(given) },
  ];
  if (withBins) {
    functions.push({
      name: "partition",
      params: [i32, i32, i32],
      results: [i32],
      body: partitionBody(given),
    });
  }
  const { derive } = given;
  if (derive)
    functions.push({ name: "derive", params: [i32, i32], results: [], body: deriveBody(given, derive) });
  if (given.derivatives) {
    const params = [i32, i32, f64, f64];
    functions.push({ name: "sumDerivatives", params, results: [], body: sumDerivativesBody(given) });
  }
  return functions;
}

/** (from, to, column) => how many go left; see `partition` in plain-kernels.ts. */
function partitionBody({ rows, spareRows, table }: KernelArguments): Body {
  const [from, to, column, i, left, row, start] = [0, 1, 2, 3, 4, 5, 6] as const;
  const body = new Body([type.i32, type.i32, type.i32, type.i32]);
  const rowsAt = rows.byteOffset;
  // All as byte offsets into rows. What goes right is at i - left in spareRows.
  body.get(from).i32(2).shl().tee(start).tee(i).set(left);
  body.get(to).i32(2).shl().set(to);
  body.block(() => {
    body.get(i).get(to).ltU().isZero().breakIf(0);
    body.loop(() => {
      body.get(left).get(i).loadI32(rowsAt).tee(row).storeI32(rowsAt);
      body.get(i).get(left).sub().get(row).storeI32(spareRows.byteOffset);
      body.get(left);
      body.get(column).get(row).add().loadByteOfSecond().loadByte(table.byteOffset).i32(2).shl();
      body.add().set(left);
      body.get(i).i32(4).add().tee(i).get(to).ltU();
    });
  });
  body.get(left).i32(rowsAt).add().i32(spareRows.byteOffset).get(to).get(left).sub().copy();
  return body.get(left).get(start).sub().i32(2).shrU();
}

/** (n, row): derivatives of two rows at a time; what is written past the last row of a block nobody reads. */
function deriveBody({ score, label, gradient, hessian }: KernelArguments, derive: Derive): Body {
  const [n, row, i, g, h, first] = [0, 1, 2, 3, 4, 5] as const;
  const exp = new ExponentialPair(first);
  const growth = first + ExponentialPair.locals.length;
  const body = new Body([type.i32, type.v128, type.v128, ...ExponentialPair.locals, type.v128]);
  exp.prepare(body);
  body
    .f64(derive.growth ?? 1)
    .splatF2()
    .set(growth);
  body.get(n).i32(3).shl().set(n);
  body.get(row).i32(3).shl().set(row);
  body.block(() => {
    body.get(n).isZero().breakIf(0);
    body.loop(() => {
      const raw = (): Body => body.get(row).loadF2(score.byteOffset);
      switch (derive.loss) {
        case "l2":
          raw().set(g);
          break;
        case "poisson":
          raw();
          exp.emit(body);
          body.tee(g).get(growth).mulF2().set(h);
          break;
        case "binary":
          body.get(exp.one).get(exp.one);
          raw().negateF2();
          exp.emit(body);
          body.addF2().divF2().tee(g);
          body.get(exp.one).get(g).subF2().mulF2().set(h);
          break;
      }
      body.get(i).get(g).get(row).loadF2(label.byteOffset).subF2().storeF2(gradient.byteOffset);
      if (derive.loss !== "l2") body.get(i).get(h).storeF2(hessian.byteOffset);
      body.get(row).i32(16).add().set(row);
      body.get(i).i32(16).add().tee(i).get(n).ltU();
    });
  });
  return body;
}

/** (n, row, gradientScale, hessianScale, key); see `quantise` in plain-kernels.ts. */
function quantiseBody(given: KernelArguments): Body {
  const { records, gradient, hessian, derivatives } = given;
  const { words, stride, binWords, constantHessian } = records;
  const [n, row, gradientScale, hessianScale, key, i, at, draw, kept, scaled] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
  ] as const;
  const body = new Body([type.i32, type.i32, type.i32, type.i32, type.f64]);
  const first = words.byteOffset + binWords * 4;
  body.get(n).i32(3).shl().set(n);
  body
    .get(row)
    .i32(stride * 4)
    .mul()
    .set(at);
  body.get(row).i32(3).shl().set(kept);
  body.block(() => {
    body.get(n).isZero().breakIf(0);
    body.loop(() => {
      // mix(key)
      body.get(key).get(key).i32(16).shrU().xor().i32(0x85ebca6b).mul().tee(draw);
      body.get(draw).i32(13).shrU().xor().i32(0xc2b2ae35).mul().tee(draw);
      body.get(draw).i32(16).shrU().xor().set(draw);
      body.get(i).loadF64(gradient.byteOffset).get(gradientScale).mulF().set(scaled);
      body.get(at).get(draw).unsignedToF64().f64(perDraw).mulF();
      body.get(scaled).addF().floorF().toI32().storeI32(first);
      if (derivatives) body.get(kept).get(scaled).storeF32(derivatives.byteOffset);
      if (!constantHessian) {
        body.get(i).loadF64(hessian.byteOffset).get(hessianScale).mulF().set(scaled);
        body.get(at).get(draw).i32(65535).and().unsignedToF64().f64(perHalfDraw).mulF();
        const second = first + 4;
        body.get(scaled).addF().floorF().toI32().storeI32(second);
        if (derivatives) {
          const pair = derivatives.byteOffset + 4;
          body.get(kept).get(scaled).storeF32(pair);
        }
      }
      body.get(kept).i32(8).add().set(kept);
      body.get(key).i32(1).add().set(key);
      body
        .get(at)
        .i32(stride * 4)
        .add()
        .set(at);
      body.get(i).i32(8).add().tee(i).get(n).ltU();
    });
  });
  return body;
}

/** (from, to, gradientScale, hessianScale); see `sumDerivatives` in plain-kernels.ts. */
function sumDerivativesBody({ derivatives, leafOf, leafSums }: KernelArguments): Body {
  const [from, to, gradientScale, hessianScale, leaf, row] = [0, 1, 2, 3, 4, 5] as const;
  const body = new Body([type.i32, type.i32]);
  const forOutside = leafSums.length / 2 - 1;
  body.get(from).set(row);
  body.block(() => {
    body.get(row).get(to).ltU().isZero().breakIf(0);
    body.loop(() => {
      body.i32(forOutside).get(row).i32(1).shl().loadU16(leafOf.byteOffset).tee(leaf);
      body.get(leaf).i32(outside).equal().select().i32(4).shl().set(leaf);
      [gradientScale, hessianScale].forEach((scale, k) => {
        body
          .get(leaf)
          .get(leaf)
          .loadF64(leafSums.byteOffset + k * 8);
        body
          .get(row)
          .i32(3)
          .shl()
          .loadF32(derivatives!.byteOffset + k * 4)
          .get(scale);
        body
          .mulF()
          .f64(rounder)
          .addF()
          .f64(rounder)
          .subF()
          .addF()
          .storeF64(leafSums.byteOffset + k * 8);
      });
      body.get(row).i32(1).add().tee(row).get(to).ltU();
    });
  });
  return body;
}

/** Rows whose records are fetched from memory together. */
const batch = 32;

/**
 * (from, to); see `addRows` in histogram.ts.
 * @param masked skip the bytes whose bit is not set
 */
function addRowsBody({ records, rows, scratch, spare }: KernelArguments, masked: boolean): Body {
  const { layout, binWords, stride, unit, constantHessian } = records;
  const [from, to, stop, i, record, word, bin, value, masks] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const maskWords = masked ? Math.ceil(layout.bytes.length / 32) : 0;
  const maskLocals = new Array<number>(maskWords).fill(type.i32);
  const body = new Body([type.i32, type.i32, type.i32, type.i32, type.i32, type.f64, ...maskLocals]);
  const rowsAt = rows.byteOffset;
  const first = records.words.byteOffset;
  const size = stride * 4;
  const gradientAt = first + binWords * 4;
  for (let m = 0; m < maskWords; m++) {
    body.i32(0).loadI32(spare + 4 + m * 4);
    body.set(masks + m);
  }
  // Both limits as byte offsets into rows; nothing to do where from >= to.
  body.get(from).i32(2).shl().set(from);
  body.get(to).i32(2).shl().set(to);
  body.block(() => {
    body.get(from).get(to).ltU().isZero().breakIf(0);
    body.loop(() => {
      // stop = min(from + batch, to)
      body
        .get(from)
        .i32(batch * 4)
        .add()
        .tee(stop)
        .get(to);
      body.get(stop).get(to).ltU().select().set(stop);
      // Touches the batch's records all at once: otherwise each row waits for memory in its turn.
      body.get(from).set(i).i32(0).set(word);
      body.loop(() => {
        body.get(i).loadI32(rowsAt).i32(size).mul().set(record);
        body.get(word);
        for (let at = 0; at < size - 4; at += 64)
          body
            .get(record)
            .loadI32(first + at)
            .xor();
        body
          .get(record)
          .loadI32(first + size - 4)
          .xor();
        body.set(word);
        body.get(i).i32(4).add().tee(i).get(stop).ltU();
      });
      body.i32(0).get(word).storeI32(spare);
      body.loop(() => {
        body.get(from).loadI32(rowsAt).i32(size).mul().set(record);
        body.get(record).loadI32(gradientAt).toF64().f64(unit).mulF();
        if (constantHessian) body.f64(1).addF();
        else
          body
            .get(record)
            .loadI32(gradientAt + 4)
            .toF64()
            .addF();
        body.set(value);
        layout.bytes.forEach((byte, p) => {
          if (p % 4 === 0)
            body
              .get(record)
              .loadI32(first + p)
              .set(word);
          // A branch that goes one way for the whole tree costs next to nothing.
          if (masked)
            body
              .get(masks + (p >> 5))
              .i32(1 << (p & 31))
              .and()
              .if();
          // Byte p % 4 of the word, times 8: the bin's place in its histogram.
          if (p % 4 === 0) body.get(word).i32(3).shl();
          else
            body
              .get(word)
              .i32((p % 4) * 8 - 3)
              .shrU();
          body.i32(2040).and().tee(bin);
          const at = scratch.byteOffset + byte.at * 8;
          body.get(bin).loadF64(at).get(value).addF().storeF64(at);
          if (masked) body.end();
        });
        body.get(from).i32(4).add().tee(from).get(stop).ltU();
      });
      body.get(from).get(to).ltU();
    });
  });
  return body;
}
