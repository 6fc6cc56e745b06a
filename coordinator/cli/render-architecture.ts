// An architecture, block by block.

import type { Architecture } from '../protocol/index.ts'
import { printLarge, printLatency, printShare } from './quantities.ts'
import { printable, renderEntry, renderTable } from '../../command-line/text-layout.ts'

const LABEL_WIDTH = 13

function renderArchitecture(architecture: Architecture, width: number): string {
  const predicted = architecture.blocks.filter((block) => block.predicted).length
  const mark = predicted === 0 ? '' : `; ${predicted} of ${architecture.blocks.length} blocks predicted, not measured`
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  return [
    entry('architecture', printable(architecture.encoding)),
    entry('latency', `${printLatency(architecture.latencyMs)}, by the latency table${mark}`),
    entry('size', `${printLarge(architecture.macs)} multiply-accumulates, ${printLarge(architecture.parameters)} parameters`),
    '',
    renderTable(
      [
        { title: 'block' },
        { title: 'operation' },
        { title: 'probability', align: 'right' },
        { title: 'latency', align: 'right' },
        { title: '' },
      ],
      architecture.blocks.map(({ block, operation, probability, latencyMs, predicted: isPredicted }) => [
        printable(block),
        printable(operation),
        printShare(probability),
        printLatency(latencyMs),
        isPredicted ? 'predicted' : '',
      ]),
    ),
  ].join('\n')
}

export { renderArchitecture }
