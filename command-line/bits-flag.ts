// The flag that says how many bits a value of an image has.

import type { ArgsDef } from 'citty'
import { PIXEL_BITS, type PixelBits } from '../protocol/index.ts'

/** Without a default: who opens data for a coordinator or a model asks there. */
const bitsArg = {
  bits: {
    type: 'enum',
    options: PIXEL_BITS.map(String),
    description:
      'bits of a value of an image; 16 where the lower ones count, as in heights (default: those of the search, training or model, else 8)',
  },
} satisfies ArgsDef

/** Null: not said. */
function parseBits(text: string | undefined): PixelBits | null {
  return PIXEL_BITS.find((bits) => String(bits) === text) ?? null
}

export { bitsArg, parseBits }
