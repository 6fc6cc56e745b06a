// How sharp opens images, wherever one is decoded.

import sharp from 'sharp'

/** libvips would keep files and results of calls that never come again. */
sharp.cache(false)
/** One thread per image; the images side by side use the cores. */
sharp.concurrency(1)

/**
 * Damage that only shows as an odd colour is let pass, a file that ends early is not: of a TIFF that is an error rather than a truncation.
 * Images of more channels than a space takes are opened all the same, so that they can be told of.
 */
const sharpSettings = { failOn: 'error', autoOrient: true, limitInputChannels: false } as const

export { sharpSettings }
