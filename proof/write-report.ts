// A report as files that can be put into docs/ as they are.

import { join } from 'node:path'
import { writeWholeFiles } from '../command-line/whole-files.ts'
import type { Costs } from './costs.ts'
import { renderPage } from './page.ts'
import { foundPlot, rankingPlot } from './plots.ts'
import type { Report } from './report.ts'
import type { Truth } from './truth.ts'

/** Writes `proof.md`, and what it shows into `proof/`; the page. Throws CliError where a file cannot be written. */
function writeReport(folder: string, report: Report, truth: Truth, costs: Costs): string {
  const page = renderPage(report)
  const found = report.seeds.flatMap((seed) => seed.found)
  writeWholeFiles([
    { path: join(folder, 'proof', 'proof.json'), content: `${JSON.stringify(report, null, 2)}\n` },
    { path: join(folder, 'proof', 'found.svg'), content: foundPlot(truth, costs, found) },
    { path: join(folder, 'proof', 'ranking.svg'), content: rankingPlot(truth, report.seeds[0]?.ranked ?? []) },
    { path: join(folder, 'proof.md'), content: page },
  ])
  return page
}

export { writeReport }
