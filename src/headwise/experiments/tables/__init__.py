"""The tabular experiment: columns as tokens against boosted trees and a linear model."""
