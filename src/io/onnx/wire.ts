/**
 * ONNX bytes to messages and back, by pbf. Its reader takes much on trust; this one does not: every
 * field ends inside its message and every message inside the file, and the number of fields is
 * limited, so that what is made of a file stays in proportion to its bytes.
 */
import { PbfReader, PbfWriter } from 'pbf';
import { EspalierError, fail } from '../../errors';
import { type Draft, type ModelProto, readModelProto, writeModelProto } from './proto.gen';

/** Far above any real network; a field takes two bytes at least and a few hundred in memory. */
const MAX_FIELDS = 2 ** 21;

class StrictReader extends PbfReader {
  #fields = 0;
  readonly #who: string;

  constructor(bytes: Uint8Array, who: string) {
    super(bytes);
    this.#who = who;
  }

  override nextField(end: number = this.length): number {
    this.#inside(end);
    const field = super.nextField(end);
    this.#inside(this.pos);
    if (field === 0 && this.pos !== end)
      fail(this.#who, `a message that ends at byte ${end}`, `its last field ends at ${this.pos}`);
    if (++this.#fields > MAX_FIELDS) fail(this.#who, `at most ${MAX_FIELDS} fields`, 'more');
    return field;
  }

  #inside(at: number): void {
    if (at > this.length) fail(this.#who, `${at} bytes`, this.length, 'The file is cut short.');
  }
}

/** The model message in `bytes`; raises EspalierError for bytes that are not one. */
export function decodeModel(bytes: Uint8Array, who: string): ModelProto {
  try {
    return readModelProto(new StrictReader(bytes, who));
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    return fail(
      who,
      'an ONNX model',
      `broken protobuf (${error instanceof Error ? error.message : error})`,
    );
  }
}

/** The bytes of a model message. */
export function encodeModel(model: Draft<ModelProto>): Uint8Array {
  const writer = new PbfWriter();
  writeModelProto(model, writer);
  return writer.finish();
}
