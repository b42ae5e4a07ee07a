/** Steps of one length along gradients of the cross entropy from the clean image, with or without momentum. */
import { intoBall, lengthOf, stepped, type TwoNorm } from './geometry';
import { crossEntropy, slopeOf, tempered } from './loss';
import { cleanLogits, type Found, foundAt, type Search, type Subject, stronger } from './search';

export interface IterateOptions {
  readonly steps: number;
  /** Length of a step as a share of eps. */
  readonly stepSize: number;
  /** Weight of the gradients before; 0 is no momentum. */
  readonly decay: number;
  readonly norm: TwoNorm;
}

export function* iterate(subject: Subject, o: IterateOptions): Search {
  const ball = { image: subject.image, eps: subject.eps, norm: o.norm };
  let at = subject.image;
  const clean = foundAt(subject, at, yield* cleanLogits(subject));
  const slope = slopeOf(tempered(crossEntropy(subject.label), clean));
  let way = new Float64Array(at.length);
  let found: Found | undefined;
  for (let i = 0; ; i++) {
    const [answer] = yield [{ image: at, slope }];
    const { z, gradient } = answer!;
    found = stronger(found, foundAt(subject, at, z));
    if (found.broken || i === o.steps) return found;
    const length = lengthOf('l1', gradient) || 1;
    way = way.map((sum, p) => o.decay * sum + gradient[p]! / length);
    at = intoBall(ball, stepped(ball, at, way, o.stepSize * subject.eps));
  }
}
