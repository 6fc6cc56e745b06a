// Whether an agent's data are those that its search or training runs on.

import { DEFAULT_PIXEL_BITS, ProblemError, type RegisterRequest } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

type Wanted = {
  readonly what: 'search' | 'training'
  readonly space: Pick<Space, 'name' | 'input' | 'classes'>
  readonly dataset: { readonly name: string; readonly bits?: number | undefined }
  /** Null: any. */
  readonly fingerprint: string | null
}

/** Throws ProblemError `dataset-mismatch`, naming both sides. */
function checkDataset({ what, space, dataset: wanted, fingerprint }: Wanted, dataset: RegisterRequest['dataset']): void {
  const shape = space.input.join('×')
  if (shape !== dataset.shape.join('×') || space.classes !== dataset.classes) {
    throw new ProblemError(
      'dataset-mismatch',
      `space ${space.name} takes ${shape} images of ${space.classes} classes, this agent's data ${dataset.name} has ${dataset.shape.join('×')} of ${dataset.classes}`,
      [{ path: 'dataset.shape', message: `expected ${shape} and ${space.classes} classes` }],
    )
  }
  const bits = wanted.bits ?? DEFAULT_PIXEL_BITS
  const ownBits = dataset.bits ?? DEFAULT_PIXEL_BITS
  if (bits !== ownBits) {
    throw new ProblemError(
      'dataset-mismatch',
      `the ${what} runs on images of ${bits} bits, this agent has opened ${dataset.name} with ${ownBits}: leave --bits out, and the agent asks for them`,
      [{ path: 'dataset.bits', message: `expected ${bits}` }],
    )
  }
  if (fingerprint !== null && fingerprint !== dataset.fingerprint) {
    throw new ProblemError(
      'dataset-mismatch',
      `the ${what} runs on ${wanted.name} with fingerprint ${fingerprint}, this agent has ${dataset.name} with fingerprint ${dataset.fingerprint}`,
      [{ path: 'dataset.fingerprint', message: `expected ${fingerprint}` }],
    )
  }
}

export { checkDataset }
