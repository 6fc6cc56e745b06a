import sharp from 'sharp'

/** Pixels of an SVG user unit: sharp on screens that have two pixels for each. */
const DEFAULT_SCALE = 2
/** Of the units that SVG sizes are in, per inch, in the renderer. */
const SVG_DENSITY = 72

/** A PNG of an SVG document, with the transparency that it has. */
function pngOf(svg: string, scale = DEFAULT_SCALE): Promise<Buffer> {
  return sharp(Buffer.from(svg), { density: SVG_DENSITY * scale })
    .png()
    .toBuffer()
}

export { pngOf }
