// Draws a small folder of images to search on, as one's own would be laid out: npm run example:images -- FOLDER
//
// Circles, squares and triangles of any colour, place and size: train/CLASS/*.png and val/CLASS/*.png.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { createRandom, seedState } from '../../search-space/index.ts'

/** Pixels; larger than the input of space.json, so that agents decode the files while they train. */
const SIDE = 48
const MIN_RADIUS = 8
const MAX_RADIUS = 20
const PER_CLASS = { train: 200, val: 30 }

/** SVG of a shape around (x, y) that reaches `r` pixels from there. */
const shapes = {
  circle: (x: number, y: number, r: number) => `<circle cx="${x}" cy="${y}" r="${r}"/>`,
  square: (x: number, y: number, r: number) => `<rect x="${x - r}" y="${y - r}" width="${2 * r}" height="${2 * r}"/>`,
  triangle: (x: number, y: number, r: number) => `<path d="M${x} ${y - r} L${x + r} ${y + r} L${x - r} ${y + r} Z"/>`,
}

const folder = process.argv[2]
if (folder === undefined) throw new Error('expected the folder to write to: npm run example:images -- .gatehouse/shapes')

const random = createRandom(seedState('example images'))
const between = (low: number, high: number) => low + random.integer(high - low + 1)
const hue = () => random.integer(360)

for (const [split, count] of Object.entries(PER_CLASS)) {
  for (const [name, shape] of Object.entries(shapes)) {
    const files = join(folder, split, name)
    await mkdir(files, { recursive: true })
    for (let i = 0; i < count; i++) {
      const radius = between(MIN_RADIUS, MAX_RADIUS)
      const drawn = shape(between(radius, SIDE - radius), between(radius, SIDE - radius), radius)
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
        <rect width="100%" height="100%" fill="hsl(${hue()}, 40%, 25%)"/><g fill="hsl(${hue()}, 70%, 60%)">${drawn}</g></svg>`
      await sharp(Buffer.from(svg))
        .png()
        .toFile(join(files, `${i}.png`))
    }
  }
}
console.log(`${folder}: ${Object.keys(shapes).join(', ')}`)
