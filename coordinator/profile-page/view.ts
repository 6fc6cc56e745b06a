// What the page shows. Text only ever enters as text.

import { parseTableKey } from '../../latency-lut/table/keys.ts'
import { find, keepChildren, make, setText } from '../dashboard/dom.js'
import type { ProfileBackend, ProfileStatus } from '../../protocol/profiles.ts'
import type { Availability } from './backends.ts'
import type { Device } from './device.ts'

type ViewName = 'code' | 'setup' | 'run' | 'result'
type Median = { readonly key: string; readonly ms: number }

const backendTitles = {
  webgpu: 'WebGPU',
  webgl: 'WebGL',
  wasm: 'WebAssembly, one thread',
} as const satisfies Record<ProfileBackend, string>

const connectionTexts = {
  idle: '',
  live: 'Connected',
  lost: 'Connection lost, measuring on',
} as const

function showView(name: ViewName): void {
  for (const each of ['code', 'setup', 'run', 'result'] as const) find(`#${each}-view`).hidden = each !== name
  find('#medians-view').hidden = name !== 'run' && name !== 'result'
}

function showNotice(text: string): void {
  const notice = find('#notice')
  notice.hidden = text === ''
  setText(notice, text)
}

function showConnection(state: keyof typeof connectionTexts): void {
  const element = find('#connection')
  element.dataset['state'] = state
  setText(element, connectionTexts[state])
}

function printSeconds(seconds: number): string {
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}

/** Whether a backend may be measured by the request; "auto" leaves the choice of one to whoever holds the device. */
function isAsked(backend: ProfileBackend, { backends }: ProfileStatus['request']): boolean {
  return typeof backends === 'string' || backends.includes(backend)
}

function showSetup(status: ProfileStatus, found: readonly Availability[], device: Device): void {
  const { request } = status
  setText(find('#setup-keys'), String(status.keys))
  setText(find('#setup-space'), status.space)
  setText(find('#setup-time'), printSeconds(request.budgetSeconds))
  setText(find('#setup-name'), request.name)
  const field: HTMLInputElement = find('#device-name')
  field.value = device.name
  const usable = found.filter((each) => each.kind === 'available' && isAsked(each.backend, request))
  const single = request.backends === 'auto'
  find('#backend-choices').replaceChildren(
    ...found
      .filter(({ backend }) => isAsked(backend, request))
      .map((each) => {
        const input = make('input', { type: single ? 'radio' : 'checkbox', name: 'backend', value: each.backend })
        input.disabled = each.kind === 'missing'
        input.checked = each.kind === 'available' && (!single || each === usable[0])
        const note = each.kind === 'missing' ? each.reason : each.adapter
        const title = make('span', {}, backendTitles[each.backend], ...(note === undefined ? [] : [make('small', {}, note)]))
        return make('label', { class: 'choice' }, input, title)
      }),
  )
  const start: HTMLButtonElement = find('#start')
  start.disabled = usable.length === 0
  const hints = [
    ...(isSecureContext
      ? []
      : ['This page came over plain http: browsers then offer no WebGPU and do not keep the screen awake. Set the screen to stay on.']),
    ...(usable.length === 0 ? ['None of the backends that were asked for is there. Try another browser.'] : []),
  ]
  setText(find('#setup-hints'), hints.join(' '))
  showView('setup')
}

function chosenBackends(): ProfileBackend[] {
  const inputs = find('#backend-choices').querySelectorAll('input')
  return [...inputs].filter((input) => input.checked).map((input) => input.value as ProfileBackend)
}

const cellTitles = {
  ConvNorm: 'Convolution',
  ReluConvNorm: 'ReLU, convolution',
  SepConv: 'Separable convolutions',
  DilConv: 'Dilated convolution',
  AvgPool: 'Average pooling',
  MaxPool: 'Max pooling',
  PlainConv: 'Convolution alone',
  NormReluConv: 'Batch-norm, ReLU, convolution',
  NormSepConv: 'Normalised separable convolution',
  NormDilConv: 'Normalised dilated convolution',
} as const

/** Short words for a key: what people look for in a list on a phone. */
function describeKey(key: string): { readonly title: string; readonly detail: string } {
  const operation = parseTableKey(key)
  const shape = (sizes: readonly number[]) => sizes.join('×')
  switch (operation.type) {
    case 'Conv':
      return { title: 'Stem', detail: `${shape(operation.input)} → ${shape(operation.output)}` }
    case 'Conv_1':
      return { title: 'Head', detail: `${shape(operation.input)} → ${shape(operation.output)}` }
    case 'Logits':
      return { title: 'Classifier', detail: `${shape(operation.input)} → ${operation.classes}` }
    case 'Projection': {
      const { stride, input, output } = operation
      return { title: 'Projection', detail: `${shape(input)} → ${shape(output)}${stride > 1 ? `, stride ${stride}` : ''}` }
    }
    case 'expanded_conv': {
      const { expand, kernel, stride, shortcut, input, output } = operation
      const notes = [stride > 1 ? `stride ${stride}` : '', shortcut ? 'shortcut' : ''].filter(Boolean)
      return { title: `MBConv${expand} ${kernel}×${kernel}`, detail: [`${shape(input)} → ${shape(output)}`, ...notes].join(', ') }
    }
    case 'ConvNorm':
    case 'ReluConvNorm':
    case 'SepConv':
    case 'DilConv':
    case 'AvgPool':
    case 'MaxPool':
    case 'PlainConv':
    case 'NormReluConv':
    case 'NormSepConv':
    case 'NormDilConv': {
      const { type, kernel, stride, input, output } = operation
      const note = stride > 1 ? `, stride ${stride}` : ''
      return { title: `${cellTitles[type]} ${kernel}×${kernel}`, detail: `${shape(input)} → ${shape(output)}${note}` }
    }
    case 'TreeBlock':
      return { title: 'Block of a tree', detail: `${shape(operation.input)} → ${shape(operation.output)}` }
    case 'ResidualBlock':
      return { title: 'Residual block', detail: `${shape(operation.input)} → ${shape(operation.output)}` }
    case 'FactorizedReduce':
      return { title: 'Factorised reduction', detail: `${shape(operation.input)} → ${shape(operation.output)}` }
    case 'Add':
      return { title: 'Addition', detail: shape(operation.output) }
    case 'Concat':
      return { title: 'Concatenation', detail: shape(operation.output) }
    case 'NormLogits':
      return { title: 'Normalised classifier', detail: `${shape(operation.input)} → ${operation.classes}` }
    case 'ConvActivation': {
      const { kernel, stride, activation, input, output } = operation
      const notes = [activation, ...(stride > 1 ? [`stride ${stride}`] : [])]
      return { title: `Convolution ${kernel}×${kernel}`, detail: [`${shape(input)} → ${shape(output)}`, ...notes].join(', ') }
    }
    case 'SplitDepthwise': {
      const { kernel, stride, splits, activation, input, output } = operation
      const attention = splits === 0 ? [] : [splits === 1 ? 'squeeze-and-excitation' : `attention over ${splits}`]
      const notes = [activation, ...attention, ...(stride > 1 ? [`stride ${stride}`] : [])]
      return { title: `Depthwise ${kernel}×${kernel}`, detail: [`${shape(input)} → ${shape(output)}`, ...notes].join(', ') }
    }
    case 'expanded_conv with se and hs': {
      const { kernel, input, output } = operation
      return { title: `MBConv ${kernel}×${kernel}`, detail: `${shape(input)} → ${shape(output)}` }
    }
    // A network as a whole, for example.
    case 'other':
      return { title: operation.name, detail: '' }
    case 'ConvLinear':
      return {
        title: 'Projection within a block',
        detail: `${shape(operation.input)} → ${shape(operation.output)}${operation.shortcut ? ', shortcut' : ''}`,
      }
    default:
      return operation satisfies never
  }
}

const printMs = (ms: number) => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(3))

/** The slowest first. */
function showMedians(medians: readonly Median[], title: string): void {
  setText(find('#medians-title'), title)
  const sorted = medians.toSorted((a, b) => b.ms - a.ms)
  const most = sorted[0]?.ms ?? 1
  keepChildren(
    find('#medians'),
    sorted,
    ({ key }) => key,
    () => make('tr', {}, make('th', { scope: 'row' }, make('span'), make('small'), make('i')), make('td', { class: 'number' })),
    (row, { key, ms }) => {
      const { title, detail } = describeKey(key)
      setText(find('span', row), title)
      setText(find('small', row), detail)
      find('i', row).style.width = `${(100 * ms) / most}%`
      setText(find('td', row), printMs(ms))
    },
  )
}

function showProgress(share: number): void {
  const bar = find('#run-bar')
  const percent = Math.round(100 * share)
  bar.setAttribute('aria-valuenow', String(percent))
  find('i', bar).style.width = `${percent}%`
}

function showWarning(text: string): void {
  const warning = find('#run-warning')
  warning.hidden = text === ''
  setText(warning, text)
}

function showTables(tables: ProfileStatus['tables']): void {
  find('#result-tables').replaceChildren(
    ...tables.map(({ backend, name, version }) =>
      make(
        'li',
        {},
        make('code', {}, `--table ${name}`),
        make('br'),
        make('small', { class: 'muted' }, `${backendTitles[backend]}, version ${version.slice(0, 12)}`),
      ),
    ),
  )
  showView('result')
  find('#result-title').focus()
}

export {
  backendTitles,
  chosenBackends,
  type Median,
  showConnection,
  showMedians,
  showNotice,
  showProgress,
  showSetup,
  showTables,
  showView,
  showWarning,
}
