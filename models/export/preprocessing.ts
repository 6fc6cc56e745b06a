// What has to be done to an image before an exported network sees it, in words and numbers, for whoever opens the file.

import { architectureCosts } from '../../search-space/index.ts'
import { ExportError } from './export-network.ts'
import type { PixelBits } from '../../protocol/index.ts'
import { bitsOfModel, type TrainedModel } from '../model-folder.ts'

type InputForm = {
  readonly layout: 'NCHW' | 'NHWC'
  /** Whether scaling and normalisation are part of the exported network. */
  readonly isIncluded: boolean
}

/** White. */
function largestPixel(model: TrainedModel): number {
  return 2 ** bitsOfModel(model) - 1
}

/** Names and texts that formats with a place for metadata carry; lists are JSON. */
function describeModel(model: TrainedModel, { layout, isIncluded }: InputForm): Record<string, string> {
  const { description, space, path } = model
  const { mean, std } = description.normalisation
  const { macs, parameters } = architectureCosts(space, path)
  const largest = largestPixel(model)
  const done = `included: the input is pixels from 0 to ${largest}; the network computes (pixel / ${largest} - mean) / std per channel`
  const needed = `needed: the input is (pixel / ${largest} - mean) / std per channel, for pixels from 0 to ${largest}`
  return {
    architecture: description.architecture,
    preprocessing: isIncluded ? done : needed,
    layout,
    mean: JSON.stringify(mean),
    std: JSON.stringify(std),
    output: 'logits, one per class; softmax is not included',
    ...(description.classNames ? { class_names: JSON.stringify(description.classNames) } : {}),
    ...(description.dataset ? { dataset: description.dataset.name } : {}),
    macs: String(macs),
    parameters: String(parameters),
  }
}

/**
 * Mean and standard deviation of raw pixels from 0 to 255, or 65,535 of a model of 16 bits, per channel: normalised = (pixel - mean) / std. Throws ExportError
 * where the model does not have one of each per channel.
 */
function pixelStatistics(model: TrainedModel): { mean: Float32Array; std: Float32Array; bits: PixelBits } {
  const { mean, std } = model.description.normalisation
  const [, , channels] = model.space.input
  if (mean.length !== channels || std.length !== channels) {
    throw new ExportError(
      `expected normalisation.mean and normalisation.std of the model to have ${channels} numbers, got ${mean.length} and ${std.length}`,
    )
  }
  const largest = largestPixel(model)
  const scaled = (values: readonly number[]) => Float32Array.from(values, (value) => value * largest)
  return { mean: scaled(mean), std: scaled(std), bits: bitsOfModel(model) }
}

export { describeModel, pixelStatistics }
