// How many bits a value of an image has. It is a setting of a search or training, since networks that were trained on the one form see
// another image in the other.

import * as z from 'zod'

const PIXEL_BITS = [8, 16] as const
/** Where nobody says, as in all that was stored before there was a choice. */
const DEFAULT_PIXEL_BITS = 8

// The generator of the OpenAPI document knows only the first value of a literal; `enum` names them all.
const pixelBitsSchema = z
  .literal(PIXEL_BITS)
  .meta({ description: 'of a value of an image; 16: heights, readings of sensors; left out: 8', enum: [...PIXEL_BITS] })
type PixelBits = z.infer<typeof pixelBitsSchema>

export { DEFAULT_PIXEL_BITS, PIXEL_BITS, type PixelBits, pixelBitsSchema }
