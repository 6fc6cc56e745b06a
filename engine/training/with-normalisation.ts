// Images normalised as the recipe says instead of by their own mean and deviation: as those that given weights were trained on.

import type { Recipe } from '../../protocol/index.ts'
import type { Dataset, Normalisation } from '../datasets/index.ts'
import { TrainerError } from './trainer.ts'

/** The same data set where the recipe does not say. Throws TrainerError where it says so for another number of channels. */
function withNormalisation<D extends Pick<Dataset, 'shape' | 'normalisation'>>(
  dataset: D,
  { normalisation }: Pick<Recipe, 'normalisation'>,
): D {
  if (normalisation === undefined) return dataset
  const channels = dataset.shape[2]
  const { mean, std } = normalisation
  if (mean.length !== channels || std.length !== channels) {
    throw new TrainerError(
      `the recipe has ${mean.length} means and ${std.length} deviations to normalise by, the images have ${channels} channels`,
    )
  }
  return { ...dataset, normalisation: { mean: [...mean], std: [...std] } satisfies Normalisation }
}

export { withNormalisation }
