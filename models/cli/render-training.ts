// A training that agents do, as text.

import { printable, renderTable } from '../../command-line/text-layout.ts'
import { printCount, printDuration, printShare, printTime } from '../../command-line/quantities.ts'
import type { EpochReport, TrainingInput, TrainingPhase, TrainingStatus } from '../../protocol/index.ts'

/** Of the reports, those that a screen shows. */
const SHOWN_REPORTS = 8
const SHOWN_TRAINERS = 6
const SHOWN_FAULTS = 4

const phaseTexts = {
  waiting: 'waiting for an agent',
  training: 'training',
  finished: 'finished',
  paused: 'paused',
  stopped: 'stopped',
  diverged: 'diverged: the loss was no number any more',
} as const satisfies Record<TrainingPhase, string>

const phaseText = ({ phase, result }: TrainingStatus) => (result?.end === 'stopped' ? 'stopped as hopeless' : phaseTexts[phase])

const inputTexts = {
  initial: 'the weights that it starts from',
  teacher: 'the weights of its teacher',
} as const satisfies Record<TrainingInput, string>

const printEpoch = (epoch: number) => (Number.isInteger(epoch) ? String(epoch) : epoch.toFixed(2))
const printAccuracy = (report: Pick<EpochReport, 'validation'> | undefined) =>
  report?.validation ? `${printShare(report.validation.top1)} right` : 'not evaluated yet'

function progressText({ progress, checkpoint, reports, epoch }: TrainingStatus): string {
  const saved = checkpoint ? `checkpoint at step ${printCount(checkpoint.step)}` : 'no checkpoint'
  if (!progress) return `${reports.length === 0 ? 'no epoch yet' : `epoch ${printEpoch(epoch)}`}, ${saved}`
  const { step, steps, stepsPerEpoch, imagesPerSecond } = progress
  const pace = imagesPerSecond === null ? '' : `, ${Math.round(imagesPerSecond)} images/s`
  return `step ${printCount(step)} of ${printCount(steps)}, epoch ${(step / stepsPerEpoch).toFixed(1)} of ${printEpoch(steps / stepsPerEpoch)}${pace}, ${saved}`
}

function endText({ result }: TrainingStatus): string[] {
  if (!result) return []
  if (result.end === 'diverged') return [`because    ${printable(result.message)}`]
  const { validation, test } = result
  return [`validation ${printShare(validation.top1)} right`, ...(test ? [`test       ${printShare(test.top1)} right`] : [])]
}

/** The whole status. `nowMs` dates the last words of agents. */
function renderTraining(status: TrainingStatus, nowMs: number = Date.now()): string {
  const { name, trainingId, architecture, missingInputs, reports, trainers } = status
  const shownReports = reports.slice(-SHOWN_REPORTS)
  const shownTrainers = trainers.slice(-SHOWN_TRAINERS)
  return [
    `${printable(name)}  ${trainingId}  ${phaseText(status)}`,
    `network    ${printable(architecture)}`,
    ...(missingInputs.length === 0 ? [] : [`needs      ${missingInputs.map((input) => inputTexts[input]).join(', ')}`]),
    `progress   ${progressText(status)}`,
    ...(status.loss === null
      ? []
      : [`loss       ${status.loss.toFixed(4)} in training, ${printAccuracy(reports.at(-1))} of the validation share`]),
    ...endText(status),
    ...status.faults
      .slice(-SHOWN_FAULTS)
      .map(
        ({ name: agent, kind, message, step }) =>
          `${kind.padEnd(10)} ${printable(agent)} from step ${printCount(step)}: ${printable(message)}`,
      ),
    ...(shownReports.length === 0
      ? []
      : [
          '',
          renderTable(
            [
              { title: 'epoch', align: 'right' },
              { title: 'step', align: 'right' },
              { title: 'loss', align: 'right' },
              { title: 'validation' },
            ],
            shownReports.map((report) => [
              printEpoch(report.epoch),
              printCount(report.step),
              report.trainLoss.toFixed(4),
              report.validation ? printAccuracy(report) : '',
            ]),
          ),
        ]),
    ...(shownTrainers.length === 0
      ? []
      : [
          '',
          renderTable(
            [
              { title: 'agent' },
              { title: 'device' },
              { title: 'from step', align: 'right' },
              { title: 'to step', align: 'right' },
              { title: 'last seen' },
            ],
            shownTrainers.map(({ name: agent, device, backend, fromStep, savedStep, lastSeenAtMs, end }) => [
              printable(agent),
              printable(`${device}, ${backend}`),
              printCount(fromStep),
              printCount(savedStep),
              end === null ? `${printDuration(nowMs - lastSeenAtMs)} ago` : `${printTime(lastSeenAtMs)}, ${end}`,
            ]),
          ),
        ]),
  ].join('\n')
}

/** One line for a log. */
function renderTrainingLine(status: TrainingStatus): string {
  const { phase, reports, trainers } = status
  const agent = phase === 'training' ? `  by ${printable(trainers.at(-1)?.name ?? '')}` : ''
  const loss = status.loss === null ? '' : `  loss ${status.loss.toFixed(3)}, ${printAccuracy(reports.at(-1))}`
  return `${phaseText(status)}  ${progressText(status)}${loss}${agent}`
}

export { renderTraining, renderTrainingLine }
