"""Train from a recipe, a TOML file that names the tables, the teacher and the student."""

from skdistill.public_names import publish
from skdistill.recipe.cascade_training import TrainedCascade
from skdistill.recipe.errors import RecipeError
from skdistill.recipe.reading import Recipe, read_recipe
from skdistill.recipe.training import Trained, follow, train

__all__ = ["Recipe", "RecipeError", "Trained", "TrainedCascade", "follow", "read_recipe", "train"]

publish(__name__)
