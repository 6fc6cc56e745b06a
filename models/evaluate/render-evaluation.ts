// An evaluation as text.

import { cutText, printable, renderTable } from '../../command-line/text-layout.ts'
import type { Score } from '../../engine/training/score.ts'
import { type ClassScore, commonMistakes, type Mistake } from './confusion.ts'
import type { Evaluation } from './evaluate-data.ts'

/** With more classes the text has the commonest mistakes instead of the matrix. */
const MAX_MATRIX_CLASSES = 12
const SHOWN_CLASSES = 20
const SHOWN_MISTAKES = 10
const NAME_WIDTH = 24

function percent(part: number | null): string {
  return part === null ? '' : (part * 100).toFixed(2)
}

function name(text: string): string {
  return cutText(printable(text), NAME_WIDTH)
}

function renderScore({ top1, top5, crossEntropy, images }: Score): string {
  const right = Math.round(top1 * images)
  return `${percent(top1)} % top-1 (${right} of ${images} images), ${percent(top5)} % top-5, cross-entropy ${crossEntropy.toFixed(4)}`
}

function renderClasses(classes: readonly ClassScore[]): string {
  // With many classes, those that need a look.
  const shown = classes.length <= SHOWN_CLASSES ? classes : [...classes].sort((a, b) => (a.f1 ?? 2) - (b.f1 ?? 2)).slice(0, SHOWN_CLASSES)
  const table = renderTable(
    [
      { title: 'class' },
      { title: 'images', align: 'right' },
      { title: 'recall %', align: 'right' },
      { title: 'precision %', align: 'right' },
      { title: 'F1 %', align: 'right' },
    ],
    shown.map((one) => [name(one.name), String(one.images), percent(one.recall), percent(one.precision), percent(one.f1)]),
  )
  return classes.length > shown.length ? `${table}\nthe worst ${shown.length} of ${classes.length} classes` : table
}

function renderMatrix({ matrix }: Evaluation['confusion'], classNames: readonly string[]): string {
  const columns = classNames.map((_, index) => ({ title: String(index), align: 'right' as const }))
  const rows = matrix.map((row, label) => [`${label} ${name(classNames[label] as string)}`, ...Array.from(row, String)])
  return renderTable([{ title: 'label \\ predicted' }, ...columns], rows)
}

function renderMistakes(mistakes: readonly Mistake[]): string {
  return renderTable(
    [{ title: 'label' }, { title: 'predicted' }, { title: 'images', align: 'right' }],
    mistakes.map(({ label, predicted, images }) => [name(label), name(predicted), String(images)]),
  )
}

function renderEvaluation({ score, classNames, confusion }: Evaluation): string {
  const isSmall = classNames.length <= MAX_MATRIX_CLASSES
  return [
    renderScore(score),
    '',
    renderClasses(confusion.classes()),
    '',
    isSmall ? renderMatrix(confusion, classNames) : renderMistakes(commonMistakes(confusion, classNames, SHOWN_MISTAKES)),
  ].join('\n')
}

export { renderEvaluation }
