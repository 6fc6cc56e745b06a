// A plot as the content of a file, in the format that the file's name ends in.

import type { ScatterPlot } from './scatter.ts'

/** What is wrong with the name of a file for a plot, or null. */
function badPlotFile(file: string): string | null {
  return /[^/]\.(svg|png)$/.test(file) ? null : `expected --plot to end in .svg or .png, got "${file}"`
}

/** What draws is loaded when it draws. */
async function drawPlot(file: string, plot: ScatterPlot): Promise<string | Uint8Array> {
  const { scatterSvg } = await import('./scatter.ts')
  const svg = scatterSvg(plot)
  return file.endsWith('.png') ? (await import('./png.ts')).pngOf(svg) : svg
}

export { badPlotFile, drawPlot }
