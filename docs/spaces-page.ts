// docs/spaces.md: the spaces that have a name, with pictures and sizes, all from the code.

import { printBytes } from '../command-line/quantities.ts'
import { factsOf, printCount } from '../gatehouse/space-facts.ts'
import type { SearchedFamily } from '../search-space/families/index.ts'
import { createSpace, type PresetName, presetNames, presets } from '../search-space/index.ts'
import { GENERATED, renderCode, renderMarkdownTable } from './markdown.ts'
import { spacePicture } from './space-pictures.ts'

type FamilyText = {
  readonly title: string
  /** The preset that its picture is of. */
  readonly drawn: PresetName
  readonly alt: string
  readonly text: readonly string[]
  /** Settings as a user would change them. */
  readonly example: object
}

const families: { readonly [Family in SearchedFamily]: FamilyText } = {
  mbconv: {
    title: 'MBConv networks',
    drawn: 'fashion-mini',
    alt: 'A stem, six blocks with their options, a head',
    text: [
      'Inverted bottlenecks (Sandler et al. 2018, MobileNetV2, arXiv 1801.04381) in stages; each block chooses kernel and expansion, or is left out',
      'where it has a shortcut: the space of ProxylessNAS (Cai, Zhu and Han 2019, arXiv 1812.00332). `mobilenet-v2` has nothing to choose;',
      '`nas-bench-macro` is that of Su et al. 2021 (arXiv 2103.11922), whose 6,561 networks are all trained and recorded. Options share no weights.',
    ],
    example: { preset: 'fashion-mini', input: [32, 32, 3], classes: 5, kernels: [3, 5] },
  },
  cell: {
    title: 'The cell of NAS-Bench-201',
    drawn: 'nas-bench-201',
    alt: 'A cell of four nodes with an arc from each to every later one',
    text: [
      'One cell, the same everywhere, in three stages with a residual block between them (Dong and Yang 2020, arXiv 2001.00326): each edge chooses',
      'what it makes of an earlier node. Multiply-accumulates and parameters are those of the published table, for all 15,625 networks.',
      'An architecture is the string of its authors, `|nor_conv_3x3~0|+|none~0|skip_connect~1|+…`.',
    ],
    example: { preset: 'cell-mini', nodes: 3, operations: ['none', 'skip_connect', 'nor_conv_3x3'] },
  },
  darts: {
    title: 'The cells of DARTS',
    drawn: 'darts',
    alt: 'A cell of two inputs and four nodes with an arc from each to every later one',
    text: [
      'Two cells, a normal one and one that halves the image at a third and at two thirds of the network (Liu, Simonyan and Yang 2019, arXiv',
      "1806.09055, and the authors' code), also that of PARSEC: fourteen edges of eight operations each. Supernet strategies derive as the authors",
      'do, two inputs for every node, and print the genotype. `darts` is what one searches in, `darts-cifar10` what the authors train the',
      "result in: DARTS_V2 has 3,349,342 parameters there, the paper's 3.3 M. Poolings have no batch-norm, and batch-norms have gamma and beta,",
      "in the search as well: the authors' search has a batch-norm behind each pooling, and none with gamma and beta. Strategies that train",
      'architectures one by one draw edges freely, so that nodes may have any number of inputs.',
    ],
    example: { preset: 'darts-mini', input: [32, 32, 3], nodes: 3 },
  },
  'fbnet-v2': {
    title: 'MBConv networks by channels, attention and non-linearity',
    drawn: 'fbnetv2-mini',
    alt: 'A stem, four rows of blocks with what each chooses, a head',
    text: [
      'Blocks that choose kernel, ReLU or swish, squeeze-and-excitation or Split-Attention, expansion and width, for each row or for each block: FBNetV2',
      '(Wan et al. 2020, arXiv 2004.05565) and FP-NAS (Yan et al. 2021, arXiv 2011.10949). Widths are the first channels of one weight; what a block',
      'costs depends on the width before it. Of `fp-nas-l0` rows are chosen that have the published 2e32 networks.',
    ],
    example: { preset: 'fbnetv2-mini', input: [32, 32, 3], choices: 'block' },
  },
  aggregation: {
    title: 'What layers read',
    drawn: 'aggregation-mini',
    alt: 'A stage of four units with an arc from each output to every layer but the next one',
    text: [
      'Every layer reads the output just before it, and what it makes of each earlier one of its stage is fixed, or a decision: left out, added or',
      'concatenated. DenseNet (Huang et al. 2017, arXiv 1608.06993) concatenates all of them, SparseNet (Zhu et al. 2018, arXiv 1801.05895) those at',
      "distances 2, 4, 8, …, `residual-40-16-32-64` adds all, and `aggregation-40-24` and `aggregation-mini` choose. DenseNets and SparseNets have the authors'",
      'parameters, for 100 classes 1,100,428 in `densenet-40-12`, 735,676 in `sparsenet-40-24` and 7,203,700 in `sparsenet-100-16-32-64`, for 10 classes',
      '769,162 in `densenet-bc-100-12`. In a space that chooses, stages begin with the channels of their units, since outputs can only be added where they',
      'have as many; each pair of a layer and an output that it concatenates has weights of its own, conv(concat(x₁, …, xₙ)) being Σ convᵢ(xᵢ), so that',
      'options share none and costs are sums over decisions. Networks for inference, exports and latencies have them as one convolution again. A table',
      'knows what is read alone: what concatenating takes is in none of its entries where it is chosen. An architecture is',
      '`stage1=|+|concat~0|sum~1|+…;stage2=…`, for each unit from the second on, and for what follows the stage, what it reads of the outputs numbered from',
      'what the stage begins with, 0.',
    ],
    example: { preset: 'aggregation-mini', input: [32, 32, 3], sources: 'exponential' },
  },
  'pyramid-tree': {
    title: 'PyramidNets with trees of operations',
    drawn: 'proxyless-cifar',
    alt: 'A tree of three levels, whose edges from the second level on choose',
    text: [
      "ProxylessNAS's space for CIFAR-10 (Cai, Zhu and Han 2019, arXiv 1812.00332, and the authors' code): bottleneck blocks of a PyramidNet (Han, Kim",
      'and Kim 2017, arXiv 1610.02915), in each of which a tree stands behind the 3×3 convolution, as path-level transformations make them (Cai et al.',
      '2018, arXiv 1806.02639). A node gives its two branches all channels, or half of them each, and adds or concatenates what comes back; an edge',
      'chooses the identity, a depthwise-separable convolution of 3×3, 5×5, 7×7 or dilated 3×3, or a pooling, in every tree by itself. Convolutions in',
      'groups are followed by a shuffle of channels, shortcuts are filled up with channels of zeros. `proxyless-cifar` is the space of the published',
      "network, which `gatehouse import` reads: 5,731,530 parameters (the paper's 5.7 M) and 1,213,155,872 multiply-accumulates.",
    ],
    example: { preset: 'tree-mini', input: [32, 32, 3], operations: ['id', 'dw3', 'dw5', 'max3'] },
  },
}

const familyNames = Object.keys(families) as SearchedFamily[]

function presetsOf(family: SearchedFamily): PresetName[] {
  return presetNames.filter((name) => {
    const config = presets[name]
    return ('family' in config ? config.family : 'mbconv') === family
  })
}

/** The row of a table that README.md has as well. */
function sizesOf(name: PresetName): string[] {
  const facts = factsOf(createSpace(name))
  const { input, decisions, supernet, latencyKeys } = facts
  return [`\`${name}\``, input.join('×'), String(decisions), printCount(facts), printBytes(supernet.bytes), String(latencyKeys)]
}

const SIZES = ['preset', 'images', 'decisions', 'architectures', 'weights of the supernet', 'latency keys']

function renderFamily(family: SearchedFamily): string {
  const { title, drawn, alt, text, example } = families[family]
  return [
    `## ${title}`,
    '',
    ...text,
    '',
    `![${alt}](spaces/${family}.svg)`,
    '',
    `What \`${drawn}\` chooses from.`,
    '',
    renderMarkdownTable(SIZES, presetsOf(family).map(sizesOf)),
    '',
    'One of your own, as `--space @FILE` or as `space` of a search:',
    '',
    renderCode(JSON.stringify(example), 'json'),
    '',
  ].join('\n')
}

function renderSpacesPage(): string {
  return [
    '# Search spaces',
    '',
    GENERATED,
    '',
    'A space is a list of decisions, each a choice among options; an architecture is one option of each. `gatehouse space list` prints these',
    'tables, `gatehouse space show NAME` the decisions of a space, and with `--architecture A` what a network of it is made of and costs. Every',
    'setting is in [search-config.md](search-config.md#space). A latency table has to hold every operation of a space:',
    '`latency-lut profile --space NAME` measures them ([latency.md](latency.md)).',
    '',
    ...familyNames.map(renderFamily),
    '## One network',
    '',
    'A fixed network has one operation for each block ([export.md](export.md)), and what `gatehouse transform` grows is written out layer by layer',
    '([training.md](training.md#growing-a-network)): both are spaces with nothing to choose, for whatever takes a space.',
    '',
  ].join('\n')
}

/** README.md's: one line for each family. */
function renderSpacesTable(): string {
  const rows = familyNames.map((family) => {
    const names = presetsOf(family)
    const counts = names.map((name) => printCount(factsOf(createSpace(name))))
    return [families[family].title, names.map((name) => `\`${name}\``).join(', '), counts.join(', ')]
  })
  return renderMarkdownTable(['spaces', 'presets', 'architectures'], rows)
}

const spacePictures = familyNames.map((family) => {
  return { file: `spaces/${family}.svg`, render: () => spacePicture(createSpace(families[family].drawn)) }
})

export { renderSpacesPage, renderSpacesTable, spacePictures }
