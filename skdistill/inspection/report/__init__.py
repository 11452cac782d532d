"""distillation_report: what a student is worth beside its teacher and smaller trees."""
